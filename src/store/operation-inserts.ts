import type { Operation } from '../operations/operation.ts';
import {
  type Inserted,
  type KeyHolder,
  LeaseLostError,
  type LeaseProof,
  type NewOperation,
  type OperationInserts,
  StoreError,
} from '../operations/store-ports.ts';
import type { Queryable } from './database.ts';
import { cleanOperation, insertColumns, orderRows, snapshotOf } from './insert-columns.ts';
import { readHolders } from './key-holders.ts';
import type { KnownOperations } from './known-operations.ts';
import { type OperationRow, toOperation } from './operation-row.ts';
import { loadCall, loadStatement } from './statements.ts';
import { statementFailed } from './store-error.ts';

const INSERT = loadCall('insert-operations');
const FIND = loadStatement('find-inserted');

/** A key that is released or purged between the insert and the second look lets the row in at the next try. */
const MAX_ATTEMPTS = 5;

interface InsertAnswer {
  /** Whether the lease was held; of a promotion only. */
  readonly held: boolean;
  /** Null where all rows were inserted. */
  readonly inserted_ids: readonly string[] | null;
  /** Of those inserted the ordered ones that somebody else publishes. */
  readonly held_ids: readonly string[];
}

interface FoundRow extends OperationRow {
  readonly claimed_by: string | null;
  readonly published_offset: bigint | null;
}

export interface InsertStoreOptions {
  readonly replyTopic: string;
  /** Whether each event is owed to the topic of lifecycle events. */
  readonly owesEvents: boolean;
}

/**
 * Accepts and promotions: one statement a batch, so one round trip and one commit. What was not inserted is read in a second
 * statement, because the first does not see what another transaction committed meanwhile. A row that is there already under
 * its id is a repeat of an insert whose outcome was not known, and counts as inserted; one whose key another operation has
 * is answered with that one.
 */
export class OperationInsertStore implements OperationInserts {
  readonly #database: Queryable;
  readonly #options: InsertStoreOptions;
  readonly #known: KnownOperations;

  constructor(database: Queryable, options: InsertStoreOptions, known: KnownOperations) {
    this.#database = database;
    this.#options = options;
    this.#known = known;
  }

  async insert(operations: readonly NewOperation[]): Promise<readonly Inserted[]> {
    const clean = operations.map(cleanOperation);
    const outcomes = new Map<string, Inserted>();
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const left = clean.filter(({ id }) => !outcomes.has(id));
      if (left.length === 0) break;
      const inserting = this.#insertAndLook(left, outcomes);
      await (attempt === 1 ? inserting : afterInsert(inserting));
    }
    return operations.map(({ id }) => {
      const outcome = outcomes.get(id);
      if (!outcome) throw statementFailed(new Error(`operation ${id} was neither inserted nor found, nor was its key`));
      return outcome;
    });
  }

  /**
   * A promotion whose outcome was unknown counts as done where its row is there, also when the lease is lost by now. So
   * repeat such a one in a call of its own: one row without a lease fails the whole call.
   */
  async promote(operations: readonly NewOperation[], lease: LeaseProof): Promise<readonly Operation[]> {
    if (operations.length === 0) return [];
    const clean = operations.map(cleanOperation);
    const { held, inserted_ids } = await this.#insert(clean, lease);
    const inserted = inserted_ids && new Set(inserted_ids);
    const others = clean.filter(({ id }) => inserted !== null && !inserted.has(id));
    const found = await afterInsert(this.#find(others));
    return clean.map((operation) => {
      if (inserted === null || inserted.has(operation.id)) return this.#snapshot(operation);
      const row = found.get(operation.id);
      if (row) return toOperation(row);
      if (!held) throw new LeaseLostError(lease.partition);
      throw statementFailed(new Error(`operation ${operation.id} was neither inserted nor found`));
    });
  }

  async #insertAndLook(operations: readonly NewOperation[], outcomes: Map<string, Inserted>): Promise<void> {
    const { inserted_ids, held_ids } = await this.#insert(operations, null);
    const [inserted, held] = [inserted_ids && new Set(inserted_ids), new Set(held_ids)];
    const others: NewOperation[] = [];
    for (const operation of operations) {
      const { id } = operation;
      if (inserted !== null && !inserted.has(id)) others.push(operation);
      else outcomes.set(id, { kind: 'inserted', operation: this.#snapshot(operation), held: held.has(id) });
    }
    if (others.length > 0) await afterInsert(this.#look(others, outcomes));
  }

  /** By id before key: an operation of ours that has lost its key meanwhile is still ours. */
  async #look(operations: readonly NewOperation[], outcomes: Map<string, Inserted>): Promise<void> {
    const found = await this.#find(operations);
    for (const operation of operations) {
      const row = found.get(operation.id);
      if (!row) continue;
      outcomes.set(row.id, { kind: 'inserted', operation: toOperation(row), held: isWithOthers(row, operation) });
    }
    const keyed = operations.filter(({ id, idempotency }) => !found.has(id) && idempotency !== null);
    const holders = await readHolders(this.#database, keyed.map(scopeOf));
    keyed.forEach(({ id }, index) => {
      const holder = holders[index] as KeyHolder | null;
      if (holder !== null) outcomes.set(id, { kind: 'key_taken', holder });
    });
  }

  #snapshot(inserted: NewOperation): Operation {
    const operation = snapshotOf(inserted);
    this.#known.remember(operation);
    return operation;
  }

  async #insert(operations: readonly NewOperation[], lease: LeaseProof | null): Promise<InsertAnswer> {
    const rows = orderRows(operations);
    const proof = lease === null ? [null, null, null] : [this.#options.replyTopic, lease.partition, lease.fence];
    const params = [...insertColumns(rows), rows.length, this.#options.owesEvents, ...proof];
    const [answer] = await this.#database.query<InsertAnswer>(INSERT, params);
    return answer as InsertAnswer;
  }

  async #find(operations: readonly NewOperation[]): Promise<ReadonlyMap<string, FoundRow>> {
    if (operations.length === 0) return new Map();
    const rows = await this.#database.query<FoundRow>(FIND, [operations.map(({ id }) => id)]);
    return new Map(rows.map((row) => [row.id, row]));
  }
}

/** Nothing is left to publish for who inserted it: it is held, taken over, on the log or done. */
function isWithOthers(row: FoundRow, { claimedBy }: NewOperation): boolean {
  return row.claimed_by !== claimedBy || row.published_offset !== null || row.retained_until_ms !== null;
}

/** Rows of the same call are committed by now, so what fails here says nothing of them. */
async function afterInsert<Result>(step: Promise<Result>): Promise<Result> {
  try {
    return await step;
  } catch (error) {
    if (!(error instanceof StoreError) || !error.certainlyNotWritten) throw error;
    throw new StoreError(error.message, { certainlyNotWritten: false, cause: error });
  }
}

function scopeOf({ principal, command, idempotency }: NewOperation) {
  return { principal, command, key: idempotency?.key ?? '' };
}
