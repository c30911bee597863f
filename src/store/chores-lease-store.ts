import type { ChoresLease } from '../chores/ports.ts';
import type { Queryable } from './database.ts';
import { loadStatement } from './statements.ts';

const HOLD = loadStatement('hold-chores');
const LET_GO = loadStatement('let-go-chores');

/** The chores lease: a row of the lease table that belongs to no topic. Throws `StoreError`. */
export class ChoresLeaseStore implements ChoresLease {
  readonly #database: Queryable;

  constructor(database: Queryable) {
    this.#database = database;
  }

  async hold(bootId: string, leaseMs: number): Promise<boolean> {
    return (await this.#database.query(HOLD, [bootId, leaseMs])).length > 0;
  }

  async letGo(bootId: string): Promise<void> {
    await this.#database.query(LET_GO, [bootId]);
  }
}
