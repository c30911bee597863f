import type { Clock } from '../runtime/clock.ts';
import type { PartitionLog } from './memory-log.ts';
import { type OnRecords, PartitionReader } from './memory-reader.ts';

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** `offset` is the next one to read: one past the last record that is done. */
export interface Position extends TopicPartition {
  readonly offset: bigint;
}

export interface SubscribeOptions {
  readonly topics: readonly string[];
  readonly group: string;
  /** Records of one call belong to one partition; the partition's next ones wait for the promise. */
  readonly onRecords: OnRecords;
  /** Partitions that another member may read from now on. Committing them does nothing any more. */
  readonly onRevoked?: (partitions: readonly TopicPartition[]) => void;
  /** Where a group begins that has committed nothing; default `earliest`. */
  readonly from?: 'earliest' | 'latest';
}

/** A member of a group. */
export interface Subscription {
  /** Delivers no further records; what is under way goes on. Without arguments: all partitions. */
  pause(partition?: TopicPartition): void;
  resume(partition?: TopicPartition): void;
  /** Positions of partitions that this member does not have are passed over. */
  commit(positions: readonly Position[]): Promise<void>;
  /** Leaves the group; what was not committed goes to another member, or to the next one. */
  close(): Promise<void>;
}

interface Member {
  readonly options: SubscribeOptions;
  /** By `topic/partition`. */
  readonly readers: Map<string, PartitionReader & TopicPartition>;
  isPaused: boolean;
}

/**
 * The members that share the partitions of their topics, and the positions that they have committed. A partition has one
 * reader at a time; who takes it over begins at the committed position, so records may come twice but are never skipped.
 */
export class ConsumerGroup {
  readonly #clock: Clock;
  readonly #logsOf: (topic: string) => readonly PartitionLog[];
  readonly #members: Member[] = [];
  readonly #committed = new Map<string, number>();

  constructor(options: { clock: Clock; logsOf: (topic: string) => readonly PartitionLog[] }) {
    this.#clock = options.clock;
    this.#logsOf = options.logsOf;
  }

  committed(topic: string, partition: number): bigint | null {
    const offset = this.#committed.get(nameOf({ topic, partition }));
    return offset === undefined ? null : BigInt(offset);
  }

  join(options: SubscribeOptions): Subscription {
    const member: Member = { options, readers: new Map(), isPaused: false };
    this.#members.push(member);
    this.rebalance();
    return {
      pause: (partition) => this.#setPaused(member, partition, true),
      resume: (partition) => this.#setPaused(member, partition, false),
      commit: async (positions) => this.#commit(member, positions),
      close: () => this.#leave(member),
    };
  }

  /** Gives every partition to one member, in turn; those that stay where they are go on undisturbed. */
  rebalance(): void {
    const wanted = new Map<string, { member: Member; partition: TopicPartition }>();
    for (const topic of new Set(this.#members.flatMap((member) => member.options.topics))) {
      const members = this.#members.filter((member) => member.options.topics.includes(topic));
      this.#logsOf(topic).forEach((_, partition) => {
        const member = members[partition % members.length] as Member;
        wanted.set(nameOf({ topic, partition }), { member, partition: { topic, partition } });
      });
    }
    for (const member of this.#members) this.#revoke(member, (name) => wanted.get(name)?.member !== member);
    for (const [name, { member, partition }] of wanted) {
      if (!member.readers.has(name)) member.readers.set(name, this.#open(member, partition));
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map((member) => this.#leave(member)));
  }

  #open(member: Member, partition: TopicPartition): PartitionReader & TopicPartition {
    const log = this.#logsOf(partition.topic)[partition.partition] as PartitionLog;
    const name = nameOf(partition);
    const fromOffset = this.#committed.get(name) ?? (member.options.from === 'latest' ? log.end : log.start);
    const reader = new PartitionReader(log, {
      fromOffset,
      commits: true,
      onRecords: member.options.onRecords,
      clock: this.#clock,
      isPaused: member.isPaused,
    });
    return Object.assign(reader, partition);
  }

  #revoke(member: Member, isLost: (name: string) => boolean): void {
    const lost = [...member.readers].filter(([name]) => isLost(name));
    if (lost.length === 0) return;
    for (const [name, reader] of lost) {
      member.readers.delete(name);
      void reader.close();
    }
    member.options.onRevoked?.(lost.map(([, { topic, partition }]) => ({ topic, partition })));
  }

  #commit(member: Member, positions: readonly Position[]): void {
    for (const position of positions) {
      const name = nameOf(position);
      const reader = member.readers.get(name);
      if (!reader) continue;
      reader.commit(Number(position.offset));
      this.#committed.set(name, reader.keepsFrom());
    }
  }

  #setPaused(member: Member, partition: TopicPartition | undefined, isPaused: boolean): void {
    if (!partition) member.isPaused = isPaused;
    const readers = partition ? [member.readers.get(nameOf(partition))] : [...member.readers.values()];
    for (const reader of readers) isPaused ? reader?.pause() : reader?.resume();
  }

  async #leave(member: Member): Promise<void> {
    const index = this.#members.indexOf(member);
    if (index < 0) return;
    this.#members.splice(index, 1);
    const closing = [...member.readers.values()].map((reader) => reader.close());
    member.readers.clear();
    this.rebalance();
    await Promise.all(closing);
  }
}

function nameOf(partition: TopicPartition): string {
  return `${partition.topic}/${partition.partition}`;
}
