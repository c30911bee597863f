import {
  type ChangeOutcome,
  type Fold,
  LeaseLostError,
  type OffsetMove,
  type OperationChange,
  type OperationChanges,
  type OperationEvent,
} from '../operations/ports.ts';
import type { ReplyPosition } from '../operations/reply.ts';
import type { Clock } from '../runtime/clock.ts';
import { eventColumns, type FoldedOperation, foldedColumns, isChanged } from './change-columns.ts';
import type { Database, Queryable } from './database.ts';
import { type OperationRow, toOperation } from './operation-row.ts';
import { retryTransient } from './retry.ts';
import { loadStatement } from './statements.ts';
import { isUniqueViolation } from './store-error.ts';

const MOVE = loadStatement('move-lease');
const LOCK = loadStatement('lock-operations');
const UPDATE = loadStatement('update-operations');

interface LockedRow extends OperationRow {
  /** `topic:partition:offset` of those of the given replies that this operation has taken already; null for none. */
  readonly known_positions: readonly string[] | null;
}

/**
 * Settling and every other change. One transaction of three statements whatever the batch: move the lease, lock the rows
 * in id order (lock order: leases, operations), fold here, write all rows and events at once.
 *
 * A reply folds once: one that the history has already is left out before folding. Where two transactions bring the same
 * reply at the same time, the loser fails on the unique index and is run again, and then knows it.
 */
export class OperationChangeStore implements OperationChanges {
  readonly #database: Database;
  readonly #replyTopic: string;
  readonly #fold: Fold;
  readonly #clock: Clock;

  constructor(database: Database, replyTopic: string, deps: { readonly fold: Fold; readonly clock: Clock }) {
    this.#database = database;
    this.#replyTopic = replyTopic;
    this.#fold = deps.fold;
    this.#clock = deps.clock;
  }

  async commit(changes: readonly OperationChange[], move: OffsetMove | null): Promise<ChangeOutcome> {
    const eventsById = mergeById(changes);
    if (eventsById.size === 0 && move === null) return { operations: [], missing: [] };
    const run = () => this.#database.transaction((tx) => this.#commit(tx, eventsById, move));
    return retryTransient(this.#clock, run, isUniqueViolation);
  }

  async #commit(
    tx: Queryable,
    eventsById: ReadonlyMap<string, readonly OperationEvent[]>,
    move: OffsetMove | null,
  ): Promise<ChangeOutcome> {
    if (move !== null) await this.#move(tx, move);
    if (eventsById.size === 0) return { operations: [], missing: [] };
    const rows = await lockRows(tx, eventsById);
    const folded = rows.map((row) => this.#foldRow(row, eventsById.get(row.id) ?? []));
    const changed = folded.filter(isChanged);
    if (changed.length > 0) await tx.query(UPDATE, [...foldedColumns(changed), ...eventColumns(changed)]);
    const found = new Set(rows.map((row) => row.id));
    return {
      operations: folded.map((one) => one.operation),
      missing: [...eventsById.keys()].filter((id) => !found.has(id)),
    };
  }

  async #move(tx: Queryable, move: OffsetMove): Promise<void> {
    const params = [this.#replyTopic, move.partition, move.fence, move.expectedOffset, move.nextOffset];
    if ((await tx.query(MOVE, params)).length === 0) throw new LeaseLostError(move.partition);
  }

  #foldRow(row: LockedRow, events: readonly OperationEvent[]): FoldedOperation {
    const before = toOperation(row);
    const fresh = leaveOutKnown(events, row.known_positions ?? []);
    // Nothing fresh folds to nothing new.
    const outcome = this.#fold(before, fresh, row.late_events);
    return { before, events: fresh, lateCounted: outcome.lateEvents > row.late_events, ...outcome };
  }
}

async function lockRows(
  tx: Queryable,
  eventsById: ReadonlyMap<string, readonly OperationEvent[]>,
): Promise<readonly LockedRow[]> {
  const ids: string[] = [];
  const positions: ReplyPosition[] = [];
  for (const [id, events] of eventsById) {
    for (const { position } of events) {
      if (position === null) continue;
      ids.push(id);
      positions.push(position);
    }
  }
  return tx.query<LockedRow>(LOCK, [
    [...eventsById.keys()],
    ids,
    positions.map((position) => position.topic),
    positions.map((position) => position.partition),
    positions.map((position) => position.offset),
  ]);
}

/** A change of one operation may stand several times in a call; its row is locked and written once. */
function mergeById(changes: readonly OperationChange[]): ReadonlyMap<string, readonly OperationEvent[]> {
  const merged = new Map<string, OperationEvent[]>();
  for (const { operationId, events } of changes) {
    const known = merged.get(operationId);
    if (known) known.push(...events);
    else merged.set(operationId, [...events]);
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
