/**
 * What operations ask of the store: rows inserted, changed by events, and read; and the fold that the store asks for in
 * turn. What only the outbox asks stands in `outbox/outbox-port.ts`.
 */
import type { CommandRecord, PublishReceipt } from './channel-ports.ts';
import type { Operation, OperationError, OperationResult, OperationState, Progress } from './operation.ts';
import type { ReplyPosition } from './reply.ts';
import type { OperationEventType } from './transitions.ts';

/** What a caller's Idempotency-Key says, scoped by principal and command. */
export interface IdempotencyKey {
  readonly key: string;
  /** SHA-256 of command and decoded payload. */
  readonly fingerprint: Uint8Array;
}

/** The operation that has a key. */
export interface KeyHolder {
  readonly operation: Operation;
  readonly fingerprint: Uint8Array;
}

export interface KeyScope {
  readonly principal: string;
  readonly command: string;
  readonly key: string;
}

/** The row that an accept or a promotion inserts. */
export interface NewOperation {
  readonly id: string;
  readonly command: string;
  readonly principal: string;
  /** What the channel knows: `accepted` before the ack, `dispatched` after it, `running` after a sign of life. */
  readonly state: Extract<OperationState, 'accepted' | 'dispatched' | 'running'>;
  readonly createdAtMs: number;
  /** Of the last sign of life that came before there was a row; else `createdAtMs`. */
  readonly updatedAtMs: number;
  readonly deadlineMs: number;
  readonly progress: Progress | null;
  readonly record: CommandRecord;
  /** Where the record stands once acknowledged; null before. */
  readonly published: PublishReceipt | null;
  /** Boot id of the instance that has undertaken to publish. */
  readonly claimedBy: string;
  /** False only while the record was never handed to a send. */
  readonly maybeSent: boolean;
  /** Home partition that replies are asked to; null on one-way commands. */
  readonly replyPartition: number | null;
  /** Null where the caller gave none. */
  readonly idempotency: IdempotencyKey | null;
  /** What whoever publishes, re-drives or settles it later must know, also where its contract lacks the command. */
  readonly terms: OperationTerms;
}

export interface OperationTerms {
  readonly maxAttempts: number;
  /** Silence after which the next attempt is due; doubles with each. Null: never. */
  readonly redeliverAfterMs: number | null;
  /** Consumer group of the workers; null where the policy does not name it. */
  readonly workerGroup: string | null;
  /** Published in the order of acceptance among those of its topic and key. */
  readonly ordered: boolean;
  /** One-way: done at the broker's ack. */
  readonly endsAtAck: boolean;
}

/** A row that was inserted, or what stood in its way. */
export type Inserted =
  /** `held`: an ordered operation behind an earlier one that is not published yet: the chores holder publishes it. */
  | { readonly kind: 'inserted'; readonly operation: Operation; readonly held: boolean }
  /** Another operation has the key. */
  | { readonly kind: 'key_taken'; readonly holder: KeyHolder };

export interface LeaseProof {
  readonly partition: number;
  readonly fence: bigint;
}

/** Thrown by a transaction that found its lease taken over or moved: nothing was written. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
  readonly partition: number;
  constructor(partition: number) {
    super(`the lease of reply partition ${partition} is no longer ours`);
    this.partition = partition;
  }
}

/** The store did not answer as asked. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  /** True where no statement reached the database, or the database says that it has undone it. */
  readonly certainlyNotWritten: boolean;
  /** True where the database refused what it was given: of many rows perhaps one, and the others can be written. */
  readonly refused: boolean;
  constructor(
    message: string,
    options: { readonly certainlyNotWritten: boolean; readonly refused?: boolean; readonly cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.certainlyNotWritten = options.certainlyNotWritten;
    this.refused = options.refused ?? false;
  }
}

export interface OperationInserts {
  /**
   * Inserts rows with their first events in one transaction, keyed ones first in the order of their keys; a row that is
   * already there under the same id counts as inserted (an accept of unknown outcome is repeated). An ordered row behind an
   * unpublished one of its topic and key is inserted unclaimed. Results in order. Throws `StoreError`.
   */
  insert(operations: readonly NewOperation[]): Promise<readonly Inserted[]>;
  /** The same, and holds the lease row `FOR KEY SHARE` with its fence. Throws `LeaseLostError` or `StoreError`. */
  promote(operations: readonly NewOperation[], lease: LeaseProof): Promise<readonly Operation[]>;
}

/** Something that happened to an operation, before it has a number. */
export interface OperationEvent {
  readonly type: OperationEventType;
  readonly atMs: number;
  /** The reply that said so; null for events of our own. Unique with the operation. */
  readonly position: ReplyPosition | null;
  readonly progress: Progress | null;
  readonly result: OperationResult | null;
  readonly error: OperationError | null;
  /** Of `dispatched` only. */
  readonly published: PublishReceipt | null;
  /**
   * Of `redriven`: the boot id that publishes the next attempt. Of an end whose error says `not_sent`: the boot id whose
   * word that is, null for one that has claimed nothing; the fold turns it into `unknown` where the row says otherwise.
   */
  readonly by: string | null;
  /**
   * Of `redriven`: the attempt that it follows. Of `dispatched`: the attempt that is on the log. Ignored where the
   * operation is at another one.
   */
  readonly afterAttempt: number | null;
  /** Of `redriven`: the renewed deadline, null: unchanged. Of `expired`: ignored where the operation's is later. */
  readonly deadlineMs: number | null;
}

export interface OperationChange {
  readonly operationId: string;
  /** In the order in which they happened; at least one. */
  readonly events: readonly OperationEvent[];
}

/** Moves the read position of a leased reply partition in the transaction that settles what was read. */
export interface OffsetMove extends LeaseProof {
  readonly expectedOffset: bigint;
  readonly nextOffset: bigint;
}

export interface ChangeOutcome {
  /** Snapshots after the transaction of every operation that was found. */
  readonly operations: readonly Operation[];
  /** Ids without a row. */
  readonly missing: readonly string[];
}

export interface OperationChanges {
  /**
   * One transaction: moves the offset where asked, folds each row as it is then by the transition table, and appends
   * numbered events. Of two changes of one operation at the same time the second is folded on the first. Throws
   * `LeaseLostError` or `StoreError`.
   */
  commit(changes: readonly OperationChange[], move: OffsetMove | null): Promise<ChangeOutcome>;
}

/** One event of an operation's history as it was appended. */
export interface RecordedEvent {
  readonly number: number;
  readonly event: OperationEvent;
  /** Absorbed: it came after the end and changed nothing. */
  readonly late: boolean;
}

export interface OperationReads {
  /** In no order; ids without a row are absent. */
  read(ids: readonly string[]): Promise<readonly Operation[]>;
  /** Holders of keys, in order; null where nobody has the key. */
  readByKeys(keys: readonly KeyScope[]): Promise<readonly (KeyHolder | null)[]>;
  /** Events numbered after `afterNumber`, oldest first; of an operation without a row none. */
  readEvents(operationId: string, afterNumber: number, limit: number): Promise<readonly RecordedEvent[]>;
  /** Newest first, by id. */
  list(query: OperationQuery): Promise<OperationSlice>;
}

/** A part of a list, bounded in bytes as well: fewer than were asked for are not yet the end. */
export interface OperationSlice {
  /** One at least, unless the list is at its end. */
  readonly operations: readonly Operation[];
  /** Whether the list goes on behind the last of them. */
  readonly hasMore: boolean;
}

export interface OperationQuery {
  /** Null: everybody's. */
  readonly principal: string | null;
  readonly command: string | null;
  readonly state: OperationState | null;
  /** Operations with ids smaller than this one; null from the newest. */
  readonly beforeId: string | null;
  readonly limit: number;
}

/** What the locked row says besides its snapshot. */
export interface RowFacts {
  /** Count of absorbed events. */
  readonly lateEvents: number;
  /** False only while the record was never handed to a send. */
  readonly maybeSent: boolean;
  /** Boot id of who has undertaken to publish; null for nobody. */
  readonly claimedBy: string | null;
}

/** The fold that `commit` applies to each locked row: pure, and the only place that knows the transition table. */
export type Fold = (operation: Operation, events: readonly OperationEvent[], facts: RowFacts) => FoldOutcome;

export interface FoldOutcome {
  readonly operation: Operation;
  /** To be appended to the history, numbered from the row's version on. */
  readonly appended: readonly RecordedEvent[];
  readonly lateEvents: number;
  /** The command must go to the dead letters: nobody answered it, or not in a way that can be read. */
  readonly owesDeadLetter: boolean;
  /** What becomes of the row's publication; null: it stays as it is. */
  readonly publication:
    | { readonly kind: 'set'; readonly receipt: PublishReceipt }
    | { readonly kind: 'cleared'; readonly claimedBy: string | null }
    | null;
}
