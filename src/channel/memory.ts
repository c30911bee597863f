import {
  type CommandPublisher,
  type CommandRecord,
  type OwnRecord,
  PublishError,
  type PublishProblem,
  type PublishReceipt,
  type RecordSender,
} from '../operations/channel-ports.ts';
import type { Reply } from '../operations/reply.ts';
import type { ReplyBatch, ReplySource, Reread } from '../replies/ports.ts';
import { Failure } from '../runtime/failure.ts';
import type { Logger } from '../runtime/log.ts';
import type { Channel } from './channel.ts';
import { BrokerError, type MemoryBroker } from './memory-broker.ts';
import type { HeaderList, LogBounds, StoredRecord } from './memory-log.ts';
import type { PartitionReader } from './memory-reader.ts';
import { assertTopicsDiffer, listOwnTopics, type OwnTopics } from './own-topics.ts';
import { isUnreadable, readReply } from './read-reply.ts';
import { BATCH_OVERHEAD_BYTES, measureRecordBytes } from './record-size.ts';

export interface MemoryChannelOptions extends OwnTopics {
  readonly broker: MemoryBroker;
  readonly replyPartitions: number;
  /** Of command topics that are not there yet. */
  readonly commandPartitions: number;
  readonly maxResultBytes: number;
  readonly logger: Logger;
}

/** Of each of Sluice's own topics but the replies: what nobody reads must not fill the process. */
const OWN_TOPIC_BOUNDS: LogBounds = Object.freeze({ maxRecords: 1000, maxBytes: 8 * 1024 * 1024, passedRecords: 500 });

/** The channel without Kafka: for the first five minutes, and for tests. Commands outlive no process. */
export function createMemoryChannel(options: MemoryChannelOptions): Channel {
  const { broker } = options;
  broker.createTopic(options.replyTopic, options.replyPartitions);
  const replies = new MemoryReplySource(options);
  const publisher = new MemoryPublisher(broker);
  return {
    publisher,
    sender: publisher,
    workers: { committed: async (group, topic) => listCommitted(broker, group, topic) },
    replies,
    async ensureTopics(commandTopics) {
      assertTopicsDiffer(options, commandTopics);
      for (const { topic } of listOwnTopics(options)) broker.createTopic(topic, 1, OWN_TOPIC_BOUNDS);
      for (const topic of commandTopics) broker.createTopic(topic, options.commandPartitions);
    },
    degraded: () => null,
    stop: () => replies.stop(),
  };
}

/** Of the groups of workers inside this process; there are no others. */
function listCommitted(broker: MemoryBroker, group: string, topic: string): ReadonlyMap<number, bigint> {
  const found = new Map<number, bigint>();
  for (let partition = 0; partition < broker.partitionCount(topic); partition += 1) {
    const offset = broker.committed(group, topic, partition);
    if (offset !== null) found.set(partition, offset);
  }
  return found;
}

class MemoryPublisher implements CommandPublisher, RecordSender {
  readonly #broker: MemoryBroker;

  constructor(broker: MemoryBroker) {
    this.#broker = broker;
  }

  assertFits(record: CommandRecord): void {
    const sizeBytes = measureRecordBytes(record) + BATCH_OVERHEAD_BYTES;
    if (sizeBytes <= this.#broker.maxRecordBytes) return;
    throw new Failure(
      'REQUEST_TOO_LARGE',
      `the record made of this request has ${sizeBytes} bytes, topic ${record.topic} takes at most ${this.#broker.maxRecordBytes}`,
    );
  }

  async publish(record: CommandRecord): Promise<PublishReceipt> {
    return this.#append(record, null);
  }

  async send(record: OwnRecord): Promise<PublishReceipt> {
    return this.#append(record, record.partition);
  }

  /** At once: there is nothing to repeat. */
  #append(record: CommandRecord | OwnRecord, partition: number | null): PublishReceipt {
    const headers: HeaderList = record.headers.map(([name, value]) => [name, toBytes(value)]);
    try {
      return this.#broker.append(record.topic, partition, { key: record.key, value: record.value, headers });
    } catch (error) {
      throw toPublishError(error);
    }
  }
}

const PROBLEM: Readonly<Record<BrokerError['problem'], { problem: PublishProblem; definite: boolean }>> = {
  unknown_topic: { problem: 'unknown_topic', definite: true },
  too_large: { problem: 'too_large', definite: true },
  full: { problem: 'overloaded', definite: false },
  closed: { problem: 'unreachable', definite: false },
};

function toPublishError(error: unknown): unknown {
  if (!(error instanceof BrokerError)) return error;
  const { problem, definite } = PROBLEM[error.problem];
  return new PublishError(problem, error.message, { certainlyNotSent: true, definite, cause: error });
}

/** Short texts share a slab of Node's: a buffer of its own for each header would weigh ten times what it holds. */
function toBytes(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : value;
}

class MemoryReplySource implements ReplySource {
  readonly topic: string;
  /** A record that was read may be gone from memory. */
  readonly canReread = false;
  readonly #options: MemoryChannelOptions;
  /** Invariant: a partition has one reader at a time, which stays here until its last delivery has ended. */
  readonly #readers = new Map<number, PartitionReader>();
  /** Adopted from these offsets as soon as that may be. */
  readonly #wanted = new Map<number, bigint>();
  #onBatch: ((batch: ReplyBatch) => Promise<void> | void) | null = null;

  constructor(options: MemoryChannelOptions) {
    this.topic = options.replyTopic;
    this.#options = options;
  }

  async partitions(): Promise<readonly number[]> {
    return Array.from({ length: this.#options.broker.partitionCount(this.topic) }, (_, partition) => partition);
  }

  async bounds(partitions: readonly number[]): Promise<ReadonlyMap<number, { start: bigint; end: bigint }>> {
    return new Map(partitions.map((partition) => [partition, this.#options.broker.bounds(this.topic, partition)]));
  }

  async start(onBatch: (batch: ReplyBatch) => Promise<void> | void): Promise<void> {
    this.#onBatch = onBatch;
    for (const partition of this.#wanted.keys()) void this.#reopen(partition);
  }

  adopt(partition: number, fromOffset: bigint): void {
    this.#wanted.set(partition, fromOffset);
    void this.#reopen(partition);
  }

  abandon(partition: number): void {
    this.#wanted.delete(partition);
    void this.#reopen(partition);
  }

  /** From the first record that is still kept: see `canReread`. */
  reread(partition: number, fromOffset: bigint, onBatch: (batch: ReplyBatch) => Promise<void> | void): Reread {
    const reader = this.#options.broker.read(this.topic, partition, fromOffset, async (records) => {
      await onBatch(this.#toBatch(partition, records));
    });
    return { stop: () => reader.close() };
  }

  trouble(): string | null {
    return this.#onBatch ? null : 'replies are not read yet';
  }

  async stop(): Promise<void> {
    this.#onBatch = null;
    this.#wanted.clear();
    await Promise.all([...this.#readers.keys()].map((partition) => this.#reopen(partition)));
  }

  async #reopen(partition: number): Promise<void> {
    const earlier = this.#readers.get(partition);
    await earlier?.close();
    if (earlier && this.#readers.get(partition) === earlier) this.#readers.delete(partition);
    const fromOffset = this.#wanted.get(partition);
    // Of several that waited for the same delivery to end, the first opens what was wanted last.
    if (fromOffset === undefined || !this.#onBatch || this.#readers.has(partition)) return;
    this.#wanted.delete(partition);
    this.#readers.set(partition, this.#open(partition, fromOffset));
  }

  #open(partition: number, fromOffset: bigint): PartitionReader {
    return this.#options.broker.read(this.topic, partition, fromOffset, async (records) => {
      await this.#onBatch?.(this.#toBatch(partition, records));
    });
  }

  #toBatch(partition: number, records: readonly StoredRecord[]): ReplyBatch {
    const read = records.map((record) =>
      readReply({ ...record, position: { topic: this.topic, partition, offset: record.offset } }, this.#options),
    );
    return {
      partition,
      replies: read.filter((reply) => !isUnreadable(reply)) as Reply[],
      unreadable: read.filter(isUnreadable),
      nextOffset: (records.at(-1) as StoredRecord).offset + 1n,
    };
  }
}
