import type { Operation } from '../operations/operation.ts';
import {
  type ChangeOutcome,
  type Fold,
  LeaseLostError,
  type OffsetMove,
  type OperationChange,
  type OperationChanges,
  type OperationEvent,
  type RowFacts,
} from '../operations/store-ports.ts';
import type { Clock } from '../runtime/clock.ts';
import { type FoldedOperation, isChanged } from './change-columns.ts';
import { moveLease, type WriteOptions, writeFolded } from './change-statements.ts';
import type { Database, Transaction } from './database.ts';
import { cleanEvent } from './event-data.ts';
import { InTurn } from './in-turn.ts';
import type { KnownOperations } from './known-operations.ts';
import { type OperationRow, toOperation } from './operation-row.ts';
import { retryTransient } from './retry.ts';
import { loadCall } from './statements.ts';
import { hasChangedSince, isUniqueViolation } from './store-error.ts';

const LOCK = loadCall('lock-operations');

interface LockedRow extends OperationRow {
  readonly maybe_sent: boolean;
  readonly claimed_by: string | null;
  /** `topic:partition:offset` of those of the given replies that this operation has taken already; null for none. */
  readonly known_positions: readonly string[] | null;
}

type EventsById = ReadonlyMap<string, readonly OperationEvent[]>;

/** With all else null where no operation has any of the ids, or the lease is lost. */
type LockAnswer = (LockedRow | { readonly id: null }) & { readonly held: boolean };

export interface ChangeStoreDeps {
  readonly fold: Fold;
  readonly clock: Clock;
  readonly known: KnownOperations;
}

/**
 * Settling and every other change: rows are folded here and written in one transaction with the move of the lease.
 *
 * Where this process wrote all the rows last, it knows them, and one statement does: it writes them in the versions that were
 * folded or not at all. Else, and where that failed, two round trips whatever the batch: lock the lease and then the rows in
 * id order (lock order: leases, operations), fold, and write everything with the commit.
 *
 * A reply folds once: one that the history has already is left out before folding. Where two transactions bring the same
 * reply at the same time, or a known row has taken it, the loser fails on the unique index and is run again, and then knows.
 */
export class OperationChangeStore implements OperationChanges {
  readonly #database: Database;
  readonly #options: WriteOptions;
  readonly #fold: Fold;
  readonly #clock: Clock;
  readonly #known: KnownOperations;
  /** Two changes of one operation would both build on the same version, and one of them would fail on it. */
  readonly #inTurn = new InTurn();

  constructor(database: Database, options: WriteOptions, deps: ChangeStoreDeps) {
    this.#database = database;
    this.#options = options;
    this.#fold = deps.fold;
    this.#clock = deps.clock;
    this.#known = deps.known;
  }

  async commit(changes: readonly OperationChange[], move: OffsetMove | null): Promise<ChangeOutcome> {
    const eventsById = mergeById(changes);
    if (eventsById.size === 0) {
      if (move !== null) await this.#moveAlone(move);
      return { operations: [], missing: [] };
    }
    return this.#inTurn.run([...eventsById.keys()], () => this.#commitInTurn(eventsById, move));
  }

  async #commitInTurn(eventsById: EventsById, move: OffsetMove | null): Promise<ChangeOutcome> {
    const folded = this.#foldKnown(eventsById);
    // Until it is known how this ends, and where there is no such row.
    this.#known.forget(eventsById.keys());
    const written = folded && (await this.#writeKnown(folded, move));
    const outcome = written ?? (await this.#commitLocked(eventsById, move));
    for (const operation of outcome.operations) this.#known.remember(operation);
    return outcome;
  }

  async #moveAlone(move: OffsetMove): Promise<void> {
    const { sql, params } = moveLease(move, this.#options.replyTopic);
    if ((await this.#database.query(sql, params)).length === 0) throw new LeaseLostError(move.partition);
  }

  // ---- rows that this process wrote last -------------------------------------------------------------------------

  /** Null unless all of them are known, and each changes: what is not written is not checked. */
  #foldKnown(eventsById: EventsById): readonly FoldedOperation[] | null {
    const folded: FoldedOperation[] = [];
    // In id order, in which the others lock.
    for (const id of [...eventsById.keys()].sort()) {
      const events = eventsById.get(id) as readonly OperationEvent[];
      const before = this.#known.get(id);
      if (before === undefined || events.some(dependsOnClaim)) return null;
      const one = this.#foldOne(before, leaveOutKnown(events, []), OF_KNOWN);
      if (!isChanged(one)) return null;
      folded.push(one);
    }
    return folded;
  }

  /** Null where they have to be read after all; nothing is written then. */
  async #writeKnown(folded: readonly FoldedOperation[], move: OffsetMove | null): Promise<ChangeOutcome | null> {
    const [write, ...more] = writeFolded(folded, { move, areLocked: false }, this.#options);
    if (write === undefined || more.length > 0) return null;
    try {
      const [answer] = await this.#database.query<{ held: boolean }>(write.sql, write.params);
      if (move !== null && !answer?.held) throw new LeaseLostError(move.partition);
    } catch (error) {
      if (hasChangedSince(error) || isUniqueViolation(error)) return null;
      throw error;
    }
    return { operations: folded.map(({ operation }) => operation), missing: [] };
  }

  // ---- rows that are read ----------------------------------------------------------------------------------------

  #commitLocked(eventsById: EventsById, move: OffsetMove | null): Promise<ChangeOutcome> {
    const run = () => this.#database.transaction((tx) => this.#lockAndWrite(tx, eventsById, move));
    return retryTransient(this.#clock, run, isUniqueViolation);
  }

  async #lockAndWrite(tx: Transaction, eventsById: EventsById, move: OffsetMove | null): Promise<ChangeOutcome> {
    const rows = await this.#lock(tx, eventsById, move);
    const folded = rows.map((row) => this.#foldRow(row, eventsById.get(row.id) ?? []));
    const written = writeFolded(folded, { move, areLocked: true }, this.#options);
    if (written.length > 0) await tx.finish(written);
    const found = new Set(rows.map((row) => row.id));
    return {
      operations: folded.map((one) => one.operation),
      missing: [...eventsById.keys()].filter((id) => !found.has(id)),
    };
  }

  async #lock(tx: Transaction, eventsById: EventsById, move: OffsetMove | null): Promise<readonly LockedRow[]> {
    const lease =
      move === null
        ? [null, null, null, null]
        : [this.#options.replyTopic, move.partition, move.fence, move.expectedOffset];
    const params = [[...eventsById.keys()], offsetsOf(eventsById), ...lease];
    const [first, ...others] = await tx.query<LockAnswer>(LOCK, params);
    if (move !== null && !first?.held) throw new LeaseLostError(move.partition);
    return first === undefined || first.id === null ? [] : ([first, ...others] as LockedRow[]);
  }

  #foldRow(row: LockedRow, events: readonly OperationEvent[]): FoldedOperation {
    const facts = { lateEvents: row.late_events, maybeSent: row.maybe_sent, claimedBy: row.claimed_by };
    return this.#foldOne(toOperation(row), leaveOutKnown(events, row.known_positions ?? []), facts);
  }

  /** Nothing fresh folds to nothing new. */
  #foldOne(before: Operation, fresh: readonly OperationEvent[], facts: RowFacts): FoldedOperation {
    const outcome = this.#fold(before, fresh, facts);
    return { ...outcome, before, events: fresh, lateCounted: outcome.lateEvents > facts.lateEvents };
  }
}

/** Of a row that is open and known. Only an end that was `not_sent` asks who has sent it, and is not folded on these. */
const OF_KNOWN: RowFacts = Object.freeze({ lateEvents: 0, maybeSent: true, claimedBy: null });

/** Claims are written without a new version. */
function dependsOnClaim({ error }: OperationEvent): boolean {
  return error?.delivery === 'not_sent';
}

/** Of the replies at hand. */
function offsetsOf(eventsById: EventsById): readonly bigint[] {
  const offsets: bigint[] = [];
  for (const events of eventsById.values()) {
    for (const { position } of events) if (position !== null) offsets.push(position.offset);
  }
  return offsets;
}

/** A change of one operation may stand several times in a call; its row is locked and written once. */
function mergeById(changes: readonly OperationChange[]): EventsById {
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
