import type { Operation } from '../operations/operation.ts';
import type {
  KeyHolder,
  KeyScope,
  OperationQuery,
  OperationReads,
  OperationSlice,
  RecordedEvent,
} from '../operations/store-ports.ts';
import type { Queryable } from './database.ts';
import { type EventRow, toRecordedEvent } from './event-data.ts';
import { readHolders } from './key-holders.ts';
import { type OperationRow, stripNul, toOperation } from './operation-row.ts';
import { loadStatement } from './statements.ts';

const READ = loadStatement('read-operations');
const LIST = loadStatement('list-operations');
const EVENTS = loadStatement('read-events');

/** Snapshots and histories for status, waiters, keys and lists. Throws `StoreError`. */
export class OperationReadStore implements OperationReads {
  readonly #database: Queryable;
  readonly #maxPageBytes: number;

  constructor(database: Queryable, options: { readonly maxPageBytes: number }) {
    this.#database = database;
    this.#maxPageBytes = options.maxPageBytes;
  }

  async read(ids: readonly string[]): Promise<readonly Operation[]> {
    if (ids.length === 0) return [];
    const rows = await this.#database.query<OperationRow>(READ, [ids]);
    return rows.map(toOperation);
  }

  readByKeys(keys: readonly KeyScope[]): Promise<readonly (KeyHolder | null)[]> {
    return readHolders(this.#database, keys);
  }

  async readEvents(operationId: string, afterNumber: number, limit: number): Promise<readonly RecordedEvent[]> {
    const rows = await this.#database.query<EventRow>(EVENTS, [operationId, afterNumber, limit]);
    return rows.map(toRecordedEvent);
  }

  async list(query: OperationQuery): Promise<OperationSlice> {
    const { principal, command, state, beforeId, limit } = query;
    const rows = await this.#database.query<OperationRow & { readonly has_more: boolean }>(LIST, [
      stripNul(principal),
      stripNul(command),
      state,
      beforeId,
      limit,
      this.#maxPageBytes,
    ]);
    return { operations: rows.map(toOperation), hasMore: rows.at(-1)?.has_more ?? false };
  }
}
