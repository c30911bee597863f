import {
  type ChangeOutcome,
  type Fold,
  LeaseLostError,
  type OffsetMove,
  type OperationChange,
  type OperationChanges,
  type OperationEvent,
} from '../operations/ports.ts';
import type { Clock } from '../runtime/clock.ts';
import { type FoldedOperation, isChanged } from './change-columns.ts';
import type { ChangeNotices } from './change-notices.ts';
import { moveLease, type WriteOptions, writeFolded } from './change-statements.ts';
import type { Database, Statement, Transaction } from './database.ts';
import { cleanEvent } from './event-data.ts';
import { type OperationRow, toOperation } from './operation-row.ts';
import { retryTransient } from './retry.ts';
import { loadStatement } from './statements.ts';
import { isUniqueViolation } from './store-error.ts';

const LOCK = loadStatement('lock-operations');

interface LockedRow extends OperationRow {
  readonly maybe_sent: boolean;
  readonly claimed_by: string | null;
  /** `topic:partition:offset` of those of the given replies that this operation has taken already; null for none. */
  readonly known_positions: readonly string[] | null;
}

/** With all else null where no operation has any of the ids, or the lease is lost. */
type LockAnswer = (LockedRow | { readonly id: null }) & { readonly held: boolean };

export interface ChangeStoreOptions extends WriteOptions {
  /** Null where nobody else can listen. */
  readonly notices: ChangeNotices | null;
}

/**
 * Settling and every other change. One transaction of two round trips whatever the batch: lock the lease and then the rows
 * in id order (lock order: leases, operations), fold here, and write everything with the commit.
 *
 * A reply folds once: one that the history has already is left out before folding. Where two transactions bring the same
 * reply at the same time, the loser fails on the unique index and is run again, and then knows it.
 */
export class OperationChangeStore implements OperationChanges {
  readonly #database: Database;
  readonly #options: ChangeStoreOptions;
  readonly #fold: Fold;
  readonly #clock: Clock;

  constructor(database: Database, options: ChangeStoreOptions, deps: { readonly fold: Fold; readonly clock: Clock }) {
    this.#database = database;
    this.#options = options;
    this.#fold = deps.fold;
    this.#clock = deps.clock;
  }

  async commit(changes: readonly OperationChange[], move: OffsetMove | null): Promise<ChangeOutcome> {
    const eventsById = mergeById(changes);
    if (eventsById.size === 0) {
      if (move !== null) await this.#moveAlone(move);
      return { operations: [], missing: [] };
    }
    const run = () => this.#database.transaction((tx) => this.#commit(tx, eventsById, move));
    return retryTransient(this.#clock, run, isUniqueViolation);
  }

  async #moveAlone(move: OffsetMove): Promise<void> {
    const { sql, params } = moveLease(move, this.#options.replyTopic);
    if ((await this.#database.query(sql, params)).length === 0) throw new LeaseLostError(move.partition);
  }

  async #commit(
    tx: Transaction,
    eventsById: ReadonlyMap<string, readonly OperationEvent[]>,
    move: OffsetMove | null,
  ): Promise<ChangeOutcome> {
    const rows = await this.#lock(tx, eventsById, move);
    const folded = rows.map((row) => this.#foldRow(row, eventsById.get(row.id) ?? []));
    const written = writeFolded(folded, move, this.#options);
    if (written.length > 0) await tx.finish([...written, ...this.#notify(folded)]);
    const found = new Set(rows.map((row) => row.id));
    return {
      operations: folded.map((one) => one.operation),
      missing: [...eventsById.keys()].filter((id) => !found.has(id)),
    };
  }

  async #lock(
    tx: Transaction,
    eventsById: ReadonlyMap<string, readonly OperationEvent[]>,
    move: OffsetMove | null,
  ): Promise<readonly LockedRow[]> {
    const lease =
      move === null
        ? [null, null, null, null]
        : [this.#options.replyTopic, move.partition, move.fence, move.expectedOffset];
    const params = [[...eventsById.keys()], offsetsOf(eventsById), ...lease];
    const [first, ...others] = await tx.query<LockAnswer>(LOCK, params);
    if (move !== null && !first?.held) throw new LeaseLostError(move.partition);
    return first === undefined || first.id === null ? [] : ([first, ...others] as LockedRow[]);
  }

  #notify(folded: readonly FoldedOperation[]): readonly Statement[] {
    const { notices } = this.#options;
    if (notices === null) return [];
    return notices.statements(folded.filter(isChanged).map(({ operation }) => operation.id));
  }

  #foldRow(row: LockedRow, events: readonly OperationEvent[]): FoldedOperation {
    const before = toOperation(row);
    const fresh = leaveOutKnown(events, row.known_positions ?? []);
    const facts = { lateEvents: row.late_events, maybeSent: row.maybe_sent, claimedBy: row.claimed_by };
    // Nothing fresh folds to nothing new.
    const outcome = this.#fold(before, fresh, facts);
    return { ...outcome, before, events: fresh, lateCounted: outcome.lateEvents > row.late_events };
  }
}

/** Of the replies at hand. */
function offsetsOf(eventsById: ReadonlyMap<string, readonly OperationEvent[]>): readonly bigint[] {
  const offsets: bigint[] = [];
  for (const events of eventsById.values()) {
    for (const { position } of events) if (position !== null) offsets.push(position.offset);
  }
  return offsets;
}

/** A change of one operation may stand several times in a call; its row is locked and written once. */
function mergeById(changes: readonly OperationChange[]): ReadonlyMap<string, readonly OperationEvent[]> {
  const merged = new Map<string, OperationEvent[]>();
  for (const { operationId, events } of changes) {
    const known = merged.get(operationId);
    const clean = events.map(cleanEvent);
    if (known) known.push(...clean);
    else merged.set(operationId, clean);
  }
  return merged;
}

/** Also where one call brings the same reply twice. */
function leaveOutKnown(events: readonly OperationEvent[], positions: readonly string[]): readonly OperationEvent[] {
  const known = new Set(positions);
  return events.filter(({ position }) => {
    if (position === null) return true;
    const name = `${position.topic}:${position.partition}:${position.offset}`;
    if (known.has(name)) return false;
    known.add(name);
    return true;
  });
}
