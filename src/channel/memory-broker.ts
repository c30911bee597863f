import type { Clock } from '../runtime/clock.ts';
import { ConsumerGroup, type Position, type SubscribeOptions, type Subscription } from './memory-group.ts';
import { type LogBounds, type MemoryRecord, PartitionLog, sizeOf } from './memory-log.ts';
import { type OnRecords, PartitionReader } from './memory-reader.ts';
import { partitionOfKey } from './partition.ts';

export interface MemoryBrokerOptions {
  readonly clock: Clock;
  /** Kept of each partition; default 100,000 records and 64 MiB, and 500 of those that all have read. */
  readonly partitionBounds?: LogBounds;
  /** A larger record is refused; default 1,048,588, as Kafka's `max.message.bytes`. */
  readonly maxRecordBytes?: number;
}

export type BrokerProblem = 'unknown_topic' | 'too_large' | 'full' | 'closed';

/** Why a record was not appended. Nothing of it is kept. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError';
  readonly problem: BrokerProblem;
  constructor(problem: BrokerProblem, message: string) {
    super(message);
    this.problem = problem;
  }
}

/**
 * A message bus inside this process, with Kafka's promises but for durability: topics of partitions, order within one,
 * groups that share partitions and commit positions, delivery at least once. Bounded: see `PartitionLog`.
 */
export class MemoryBroker {
  readonly maxRecordBytes: number;
  readonly #clock: Clock;
  readonly #bounds: LogBounds;
  readonly #topics = new Map<string, PartitionLog[]>();
  readonly #groups = new Map<string, ConsumerGroup>();
  #roundRobin = 0;
  #isClosed = false;

  constructor(options: MemoryBrokerOptions) {
    this.#clock = options.clock;
    this.#bounds = options.partitionBounds ?? { passedRecords: 500, maxRecords: 100_000, maxBytes: 64 * 1024 * 1024 };
    this.maxRecordBytes = options.maxRecordBytes ?? 1_048_588;
  }

  /**
   * A topic that is there is left as it is, or gets the partitions that it lacks. `bounds` are those of each partition that
   * is made; default: the broker's.
   */
  createTopic(topic: string, partitionCount: number, bounds: LogBounds = this.#bounds): void {
    const logs = this.#topics.get(topic) ?? [];
    const missing = partitionCount - logs.length;
    for (let added = 0; added < missing; added += 1) logs.push(new PartitionLog(bounds));
    this.#topics.set(topic, logs);
    if (missing > 0) for (const group of this.#groups.values()) group.rebalance();
  }

  /** 0 where there is no such topic. */
  partitionCount(topic: string): number {
    return this.#topics.get(topic)?.length ?? 0;
  }

  /** First and past-the-last offset. Throws `BrokerError` `unknown_topic`. */
  bounds(topic: string, partition: number): { readonly start: bigint; readonly end: bigint } {
    const log = this.#logOf(topic, partition);
    return { start: BigInt(log.start), end: BigInt(log.end) };
  }

  /** Where the partition is null the key chooses it, as Kafka's Java client does. Throws `BrokerError`. */
  append(topic: string, partition: number | null, record: MemoryRecord): { partition: number; offset: bigint } {
    if (this.#isClosed) throw new BrokerError('closed', 'the in-process broker is closed');
    const sizeBytes = sizeOf(record);
    if (sizeBytes > this.maxRecordBytes) {
      throw new BrokerError('too_large', `the record has ${sizeBytes} bytes, at most ${this.maxRecordBytes} are taken`);
    }
    const chosen = partition ?? this.#choosePartition(topic, record.key);
    const log = this.#logOf(topic, chosen);
    const offset = BigInt(log.end);
    const { key, value, headers } = record;
    const stored = { topic, partition: chosen, offset, timestampMs: this.#clock.wallMs(), key, value, headers };
    if (!log.append(stored)) {
      throw new BrokerError('full', `partition ${chosen} of ${topic} is full of records that were not read yet`);
    }
    return { partition: chosen, offset };
  }

  /** Joins a group: its members share the partitions of the topics. Throws `BrokerError` `unknown_topic`. */
  subscribe(options: SubscribeOptions): Subscription {
    for (const topic of options.topics) this.#logOf(topic, 0);
    const group = this.#groups.get(options.group) ?? this.#addGroup(options.group);
    return group.join(options);
  }

  /** Reads one partition without a group, from an offset on. */
  read(topic: string, partition: number, fromOffset: bigint, onRecords: OnRecords): PartitionReader {
    const log = this.#logOf(topic, partition);
    return new PartitionReader(log, { fromOffset: Number(fromOffset), commits: false, onRecords, clock: this.#clock });
  }

  /** The position that a group has stored; null where it has none. */
  committed(group: string, topic: string, partition: number): bigint | null {
    return this.#groups.get(group)?.committed(topic, partition) ?? null;
  }

  /** Delivers nothing more; resolves when deliveries under way have ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#groups.values()].map((group) => group.close()));
  }

  #addGroup(name: string): ConsumerGroup {
    const group = new ConsumerGroup({ clock: this.#clock, logsOf: (topic) => this.#topics.get(topic) ?? [] });
    this.#groups.set(name, group);
    return group;
  }

  #choosePartition(topic: string, key: Uint8Array | null): number {
    const count = this.partitionCount(topic);
    if (count === 0) return 0;
    if (key !== null) return partitionOfKey(key, count);
    this.#roundRobin = (this.#roundRobin + 1) % count;
    return this.#roundRobin;
  }

  #logOf(topic: string, partition: number): PartitionLog {
    const log = this.#topics.get(topic)?.[partition];
    if (!log) throw new BrokerError('unknown_topic', `there is no partition ${partition} of a topic ${topic}`);
    return log;
  }
}

export type { Position, SubscribeOptions, Subscription };
