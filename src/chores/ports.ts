import type { OwnRecord } from '../operations/channel-ports.ts';
import type { Operation } from '../operations/operation.ts';
import type { RecordedEvent } from '../operations/store-ports.ts';

/** The one lease by which one instance does the chores of all. */
export interface ChoresLease {
  /** Takes or renews it. False where another instance has it. Database time. Throws `StoreError`. */
  hold(bootId: string, leaseMs: number): Promise<boolean>;
  letGo(bootId: string): Promise<void>;
}

/** An operation that is silent for longer than its command says, and has an attempt left. */
export interface SilentOperation {
  readonly operationId: string;
  readonly topic: string;
  readonly attempt: number;
  readonly workerGroup: string | null;
  readonly publishedPartition: number;
  readonly publishedOffset: bigint;
}

/** What is due, by the database's clock. Every method throws `StoreError`. */
export interface DueOperations {
  /** Database time, Unix ms. */
  nowMs(): Promise<number>;
  /** `next_offset` of each partition's lease row of the reply topic. */
  readPositions(): Promise<ReadonlyMap<number, bigint>>;
  /**
   * Open operations whose deadline is not after `untilMs` and whose command may be on a log, oldest deadline first:
   * published, `maybe_sent`, or claimed by anybody (a claimer may have sent it and died without a word). With
   * `listUnsendable` that is every open one, so that none stays open for ever. One that a living instance claims and that
   * is neither published nor `maybe_sent` is listed only once `untilMs` is 30 s past its deadline: the claimer's own word,
   * which may be `not_sent`, comes first.
   */
  listExpirable(untilMs: number, limit: number): Promise<readonly Operation[]>;
  /**
   * Open, unpublished, not `maybe_sent`, claimed by nobody, and past their deadline now: no reply can be on its way. Not
   * those of a dead claimer, who may have sent them (`listExpirable` has these).
   */
  listUnsendable(limit: number): Promise<readonly Operation[]>;
  /**
   * Not done, published, an attempt left, deadline ahead, silent since before `untilMs` less what their command allows
   * (doubled each attempt). By id, above `afterId`: some may have to wait for their workers and must not hide the others.
   */
  listSilent(untilMs: number, limit: number, afterId: string | null): Promise<readonly SilentOperation[]>;
}

/** A record that a settled operation still owes to a topic of ours. Every method throws `StoreError`. */
export interface OwedRecords {
  /** Expired or failed operations whose dead letter is not on the log yet, each with its record and history. */
  listOwedDeadLetters(limit: number): Promise<readonly OwedDeadLetter[]>;
  clearDeadLetters(operationIds: readonly string[]): Promise<void>;
  /** Cancelled operations that workers have not been told of, and for longer than `minAgeMs`. */
  listOwedCancellations(options: { readonly minAgeMs: number; readonly limit: number }): Promise<readonly Operation[]>;
  clearCancellations(operationIds: readonly string[]): Promise<void>;
  /**
   * Events that the topic of lifecycle events does not have yet, by operation and number, without the bytes of results.
   * None where it is off. Bounded in bytes as well: `hasMore` says whether there are others behind them.
   */
  listOwedEvents(limit: number): Promise<{ readonly events: readonly OwedEvent[]; readonly hasMore: boolean }>;
  clearEvents(events: readonly Pick<OwedEvent, 'operationId' | 'number'>[]): Promise<void>;
}

export interface OwedDeadLetter {
  readonly operation: Operation;
  readonly record: Omit<OwnRecord, 'partition'>;
  readonly history: readonly RecordedEvent[];
}

export interface OwedEvent extends RecordedEvent {
  readonly operationId: string;
  readonly command: string;
}

export interface Retention {
  /**
   * Deletes finished operations past their retention that owe nothing, with their events, walking ids upwards from
   * `afterId` (null: the oldest), at most `limit` rows looked at. `nextId` is null where the walk has come to an end.
   * The walk ends where ids are too young for their operations to be past the retention. Never waits for a lock. Throws
   * `StoreError`.
   */
  purge(afterId: string | null, limit: number): Promise<{ readonly purged: number; readonly nextId: string | null }>;
}

/** How the records that are owed are made; of the channel, which knows the wire and the topics. */
export interface OwedRecordForms {
  deadLetter(letter: OwedDeadLetter): OwnRecord;
  /** Of a dead letter that its topic refused as it was: size and SHA-256 stand for the value. */
  withoutValue(deadLetter: OwnRecord): OwnRecord;
  /** Tells workers, on the control topic, of a cancelled operation. */
  cancellation(operationId: string): OwnRecord;
  lifecycleEvent(event: OwedEvent): OwnRecord;
}

/** The reply topic's log; the channel's `ReplySource` fits it. Both throw where the bus cannot be asked. */
export interface ReplyLog {
  /** From the topic's metadata. */
  partitions(): Promise<readonly number[]>;
  /** Past-the-last offset of each partition that the log holds now. */
  bounds(partitions: readonly number[]): Promise<ReadonlyMap<number, { readonly end: bigint }>>;
}

/** How far the workers of a consumer group have come; of the channel. */
export interface WorkerProgress {
  /** Committed offset of each partition; absent where the group has none. Throws where the bus cannot be asked. */
  committed(group: string, topic: string): Promise<ReadonlyMap<number, bigint>>;
}

/** Operations that nobody has reported on in the time that their command allows. */
export interface Unreconciled {
  /** Counts to `limit` at the most. Throws `StoreError`. */
  countUnreconciled(limit: number): Promise<number>;
}
