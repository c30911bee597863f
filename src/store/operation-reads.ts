import type { Operation } from '../operations/operation.ts';
import type { OperationQuery, OperationReads } from '../operations/ports.ts';
import type { Queryable } from './database.ts';
import { type OperationRow, stripNul, toOperation } from './operation-row.ts';
import { loadStatement } from './statements.ts';

const READ = loadStatement('read-operations');
const LIST = loadStatement('list-operations');

/** Snapshots for status, waiters and lists. Throws `StoreError`. */
export class OperationReadStore implements OperationReads {
  readonly #database: Queryable;

  constructor(database: Queryable) {
    this.#database = database;
  }

  async read(ids: readonly string[]): Promise<readonly Operation[]> {
    if (ids.length === 0) return [];
    const rows = await this.#database.query<OperationRow>(READ, [ids]);
    return rows.map(toOperation);
  }

  async list(query: OperationQuery): Promise<readonly Operation[]> {
    const { principal, command, state, beforeId, limit } = query;
    const rows = await this.#database.query<OperationRow>(LIST, [
      stripNul(principal),
      stripNul(command),
      state,
      beforeId,
      limit,
    ]);
    return rows.map(toOperation);
  }
}
