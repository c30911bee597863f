import { type CommandPublisher, type CommandRecord, PublishError, type PublishProblem } from '../operations/ports.ts';
import type { Reply } from '../operations/reply.ts';
import type { ReplyBatch, ReplySource } from '../replies/ports.ts';
import { Failure } from '../runtime/failure.ts';
import type { Logger } from '../runtime/log.ts';
import { type Channel, ChannelSetupError } from './channel.ts';
import { BrokerError, type MemoryBroker } from './memory-broker.ts';
import type { HeaderList, StoredRecord } from './memory-log.ts';
import type { PartitionReader } from './memory-reader.ts';
import { isUnreadable, readReply } from './read-reply.ts';
import { BATCH_OVERHEAD_BYTES, measureRecordBytes } from './record-size.ts';

export interface MemoryChannelOptions {
  readonly broker: MemoryBroker;
  /** With the namespace. */
  readonly replyTopic: string;
  readonly replyPartitions: number;
  /** Of command topics that are not there yet. */
  readonly commandPartitions: number;
  readonly maxResultBytes: number;
  readonly logger: Logger;
}

/** The channel without Kafka: for the first five minutes, and for tests. Commands outlive no process. */
export function createMemoryChannel(options: MemoryChannelOptions): Channel {
  const { broker } = options;
  broker.createTopic(options.replyTopic, options.replyPartitions);
  const replies = new MemoryReplySource(options);
  return {
    publisher: new MemoryPublisher(broker),
    replies,
    async ensureTopics(commandTopics) {
      if (commandTopics.includes(options.replyTopic)) {
        throw new ChannelSetupError([`topic ${options.replyTopic}: is the reply topic and cannot carry commands too`]);
      }
      for (const topic of commandTopics) broker.createTopic(topic, options.commandPartitions);
    },
    degraded: () => null,
    stop: () => replies.stop(),
  };
}

class MemoryPublisher implements CommandPublisher {
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

  /** Appends at once: there is nothing to repeat. */
  async publish(record: CommandRecord): Promise<{ partition: number; offset: bigint }> {
    const headers: HeaderList = record.headers.map(([name, value]) => [name, toBytes(value)]);
    try {
      return this.#broker.append(record.topic, null, { key: record.key, value: record.value, headers });
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
