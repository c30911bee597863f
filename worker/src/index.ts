// All that the package offers; nothing inside the package imports this file.
export { type Clock, systemClock } from './clock.ts';
export { type Codec, type Encoded, jsonCodec } from './codec.ts';
export { type CallContext, type CallOptions, CommandClient, type CommandClientOptions } from './command-client.ts';
export type { CommandContext, Trace } from './context.ts';
export type { CommandKey, DeduplicationStore, Outcome, RunLimits, Work } from './deduplication.ts';
export { CommandCallError, CommandError, type Delivery, ERROR_CODES, type ErrorCode } from './errors.ts';
export type { Handler } from './handler-call.ts';
export { readKafkaEnvironment } from './kafka-environment.ts';
export type { KafkaSettings } from './kafka-settings.ts';
export { kafkaTransport } from './kafka-transport.ts';
export { jsonLogger, type Logger, silentLogger } from './log.ts';
export { MemoryDeduplication, type MemoryDeduplicationOptions } from './memory-deduplication.ts';
export { MemoryTransport } from './memory-transport.ts';
export type { PostgresClient, PostgresPool, PostgresResult } from './postgres-client.ts';
export { PostgresDeduplication, type PostgresDeduplicationOptions } from './postgres-deduplication.ts';
export type { PostgresTransaction } from './postgres-transaction.ts';
export { type ProtobufCodecOptions, protobufCodec } from './protobuf-codec.ts';
export type { Progress, Reply } from './reply.ts';
export {
  type HeaderList,
  type Inbox,
  type InboxOptions,
  type IncomingRecord,
  type OutgoingRecord,
  type Position,
  SendError,
  type SendErrorReason,
  type SubscribeOptions,
  type Subscription,
  type TopicPartition,
  type TopicWatch,
  type WatchOptions,
  type WorkerTransport,
} from './transport.ts';
export { createWorker, Worker } from './worker.ts';
export type { HandleOptions, StopOptions, WorkerOptions } from './worker-options.ts';
