import type { Reply, UnreadableReply } from '../operations/reply.ts';
import type { LeaseProof } from '../operations/store-ports.ts';

/** Replies of one partition, read together. */
export interface ReplyBatch {
  readonly partition: number;
  /** In offset order. */
  readonly replies: readonly Reply[];
  readonly unreadable: readonly UnreadableReply[];
  /** Where reading goes on: past the last record, also past control records that no consumer sees. */
  readonly nextOffset: bigint;
}

/** The reply topic of a channel. Reading needs no lease; which partitions are read is the caller's choice. */
export interface ReplySource {
  readonly topic: string;
  /** From the topic's metadata. */
  partitions(): Promise<readonly number[]>;
  /** First and past-the-last offset of each partition that the log holds now. */
  bounds(partitions: readonly number[]): Promise<ReadonlyMap<number, { readonly start: bigint; readonly end: bigint }>>;
  /**
   * Begins to deliver batches of adopted partitions, one at a time a partition. The source waits for the promise before
   * it delivers the next batch of that partition.
   */
  start(onBatch: (batch: ReplyBatch) => Promise<void> | void): Promise<void>;
  /** Reads the partition from this offset on; also moves a partition that is being read. */
  adopt(partition: number, fromOffset: bigint): void;
  /** Reads the partition no more. */
  abandon(partition: number): void;
  /**
   * Reads the partition a second time from this offset on, beside the first reader and without disturbing it: what was
   * dropped while the database was slow. Batches come one at a time as with `start`, until `stop`.
   */
  reread(partition: number, fromOffset: bigint, onBatch: (batch: ReplyBatch) => Promise<void> | void): Reread;
  /** False where the channel keeps no record that was read: the one reader then has to wait for room instead. */
  readonly canReread: boolean;
  /** Null while the consumer is well; else why not (being rebuilt, not joined yet). */
  trouble(): string | null;
  stop(): Promise<void>;
}

/** A second, temporary reader of one partition. */
export interface Reread {
  /** Resolves once no batch is delivered any more. */
  stop(): Promise<void>;
}

/** A lease row of a reply partition. */
export interface LeaseRow extends LeaseProof {
  /** Boot id, or null where nobody has it. */
  readonly owner: string | null;
  readonly home: boolean;
  readonly nextOffset: bigint;
  /** By database time. */
  readonly expired: boolean;
}

export interface LeaseProgress extends LeaseProof {
  readonly expectedOffset: bigint;
  readonly nextOffset: bigint;
}

export interface HeartbeatResult {
  /** Database time minus this machine's, ms. */
  readonly clockOffsetMs: number;
  /** Boot ids whose instance row has not expired, this one included. */
  readonly liveInstances: readonly string[];
  /** Every lease row of the topic after the heartbeat. */
  readonly leases: readonly LeaseRow[];
  /** Partitions whose progress was written. */
  readonly moved: readonly number[];
}

/** Lease rows of one reply topic. Every comparison of time is made in SQL with the database's clock. */
export interface LeaseStore {
  /** Creates the rows that are missing, with `next_offset` at the log's start. */
  ensure(topic: string, starts: ReadonlyMap<number, bigint>): Promise<void>;
  /** Renews the instance row and all leases that it still owns, writes progress of unrecorded replies. */
  heartbeat(beat: {
    readonly topic: string;
    readonly bootId: string;
    readonly leaseMs: number;
    readonly progress: readonly LeaseProgress[];
  }): Promise<HeartbeatResult>;
  /** Takes a free or expired lease, and bumps its fence under `FOR UPDATE`; null where somebody else was first. */
  take(claim: {
    readonly topic: string;
    readonly partition: number;
    readonly bootId: string;
    readonly home: boolean;
    readonly leaseMs: number;
  }): Promise<LeaseRow | null>;
  /** Gives leases back. */
  release(topic: string, bootId: string, partitions: readonly number[]): Promise<void>;
  /** Every lease row of the topic. */
  listLeases(topic: string): Promise<readonly LeaseRow[]>;
  /** Ids of operations that are not done and whose replies are asked to this partition, at most `limit`. */
  listOpenAt(partition: number, limit: number): Promise<readonly string[]>;
  /** Sets a position that the log no longer holds to its start. */
  resetPosition(topic: string, proof: LeaseProof, nextOffset: bigint): Promise<boolean>;
  /** Gives back everything and ends the instance row. */
  retire(topic: string, bootId: string): Promise<void>;
}
