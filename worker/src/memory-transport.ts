import { type Clock, systemClock } from './clock.ts';
import type {
  Inbox,
  InboxOptions,
  IncomingRecord,
  OutgoingRecord,
  Position,
  SubscribeOptions,
  Subscription,
  TopicWatch,
  WatchOptions,
  WorkerTransport,
} from './transport.ts';

interface Log {
  readonly partitions: IncomingRecord[][];
}

/** One member of one group on one topic. */
interface Reader {
  readonly topic: string;
  readonly group: string;
  readonly onRecords: (records: readonly IncomingRecord[]) => void;
  readonly positions: bigint[];
  paused: boolean;
  closed: boolean;
}

/**
 * A bus inside the process, for tests of workers: topics appear when they are used, one reader takes all partitions of
 * its group, nothing is ever dropped. `records` and `committed` let a test look.
 */
export class MemoryTransport implements WorkerTransport {
  readonly #partitionCount: number;
  readonly #clock: Clock;
  readonly #logs = new Map<string, Log>();
  readonly #committed = new Map<string, bigint>();
  readonly #readers = new Set<Reader>();

  constructor(options: { partitions?: number; clock?: Clock } = {}) {
    this.#partitionCount = options.partitions ?? 1;
    this.#clock = options.clock ?? systemClock;
  }

  async send(records: readonly OutgoingRecord[]): Promise<void> {
    for (const record of records) this.#append(record);
    this.#wakeReaders();
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    const readers = options.topics.map((topic) => this.#read(topic, options.group, options.onRecords));
    return {
      pause: () => {
        for (const reader of readers) reader.paused = true;
      },
      resume: () => {
        for (const reader of readers) reader.paused = false;
        this.#wakeReaders();
      },
      commit: async (positions) => this.#commit(options.group, positions),
      close: async () => {
        for (const reader of readers) this.#remove(reader);
      },
    };
  }

  async openInbox(options: InboxOptions): Promise<Inbox> {
    const reader = this.#read(options.topic, options.group, options.onRecords);
    return { topic: options.topic, partition: null, close: async () => this.#remove(reader) };
  }

  async watchTopic({ topic, sinceMs, onRecords }: WatchOptions): Promise<TopicWatch> {
    const show = (records: readonly IncomingRecord[]) => {
      const recent = records.filter(({ timestampMs }) => timestampMs >= sinceMs);
      if (recent.length > 0) onRecords(recent);
    };
    const reader = this.#read(topic, '', show);
    this.#deliver(reader);
    return { close: async () => this.#remove(reader) };
  }

  async close(): Promise<void> {
    for (const reader of this.#readers) this.#remove(reader);
  }

  /** All records of a topic, partition by partition. */
  records(topic: string): IncomingRecord[] {
    return this.#logOf(topic).partitions.flat();
  }

  /** The group's committed position; 0 where it never committed. */
  committed(group: string, topic: string, partition = 0): bigint {
    return this.#committed.get(`${group}/${topic}/${partition}`) ?? 0n;
  }

  #commit(group: string, positions: readonly Position[]): void {
    for (const { topic, partition, offset } of positions) this.#committed.set(`${group}/${topic}/${partition}`, offset);
  }

  #append(record: OutgoingRecord): void {
    const { partitions } = this.#logOf(record.topic);
    const partition = record.partition ?? hash(record.key) % partitions.length;
    const log = partitions[partition];
    if (log === undefined) throw new RangeError(`${record.topic} has no partition ${partition}`);
    log.push({ ...record, partition, offset: BigInt(log.length), timestampMs: this.#clock.nowMs() });
  }

  #read(topic: string, group: string, onRecords: Reader['onRecords']): Reader {
    const positions = this.#logOf(topic).partitions.map((_, partition) => this.committed(group, topic, partition));
    const reader: Reader = { topic, group, onRecords, positions, paused: false, closed: false };
    this.#readers.add(reader);
    this.#wakeReaders();
    return reader;
  }

  #remove(reader: Reader): void {
    reader.closed = true;
    this.#readers.delete(reader);
  }

  /** In a turn of its own: a reader that answers at once must not run inside the sender's call. */
  #wakeReaders(): void {
    queueMicrotask(() => {
      for (const reader of this.#readers) this.#deliver(reader);
    });
  }

  #deliver(reader: Reader): void {
    this.#logOf(reader.topic).partitions.forEach((log, partition) => {
      if (reader.paused || reader.closed) return;
      const records = log.slice(Number(reader.positions[partition] ?? 0n));
      reader.positions[partition] = BigInt(log.length);
      if (records.length > 0) reader.onRecords(records);
    });
  }

  #logOf(topic: string): Log {
    let log = this.#logs.get(topic);
    if (log === undefined) {
      log = { partitions: Array.from({ length: this.#partitionCount }, () => []) };
      this.#logs.set(topic, log);
    }
    return log;
  }
}

/** FNV-1a. */
function hash(key: Uint8Array | null): number {
  let value = 0x811c9dc5;
  for (const byte of key ?? []) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  return value;
}
