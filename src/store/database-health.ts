import type { Clock } from '../runtime/clock.ts';
import { isHealthTrouble, sqlStateOf } from './store-error.ts';

interface Refusal {
  readonly state: string;
  readonly reason: string;
  readonly atMs: number;
}

/** Statements are a closed set; of those that are refused so many are remembered. */
const MAX_REFUSED = 16;
/** A statement that nobody asks for any more would else be reported for ever, also once the database is well. */
const REMEMBERED_MS = 5 * 60_000;
/** SQLSTATE read_only_sql_transaction. */
const READ_ONLY = '25006';

/**
 * How a database does, by the last answers. Pools on one server share it, so that what one of them finds out the others
 * need not. A database that answers may refuse a statement all the same, such as each insert while its disk is full, and
 * answer all others: so a refusal stands until the same statement succeeds, not until any does. Only of a server that had
 * become read-only each is over once one of them is.
 */
export class DatabaseHealth {
  /** Null after a statement was answered, the reason after a connection failed. */
  trouble: string | null = null;
  readonly #clock: Clock;
  /** By the text of the statement, the newest last. */
  readonly #refusals = new Map<string, Refusal>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** On the path of every statement. */
  noteSuccess(sql: string): void {
    if (this.#refusals.size > 0) this.#forget(sql);
  }

  /** A full disk may have room for one statement and not for the next; a standby takes writes from its promotion on. */
  #forget(sql: string): void {
    const state = this.#refusals.get(sql)?.state;
    this.#refusals.delete(sql);
    if (state !== READ_ONLY) return;
    for (const [other, refusal] of this.#refusals) if (refusal.state === state) this.#refusals.delete(other);
  }

  /** Of a failure that says nothing of the database, such as a duplicate key, nothing is kept. */
  noteFailure(sql: string, error: Error): void {
    if (!isHealthTrouble(error)) return;
    this.#refusals.delete(sql);
    this.#refusals.set(sql, { state: sqlStateOf(error) ?? '', reason: error.message, atMs: this.#clock.monotonicMs() });
    const [oldest] = this.#refusals.keys();
    if (this.#refusals.size > MAX_REFUSED && oldest !== undefined) this.#refusals.delete(oldest);
  }

  /** Null while the database does as asked, else why not. */
  describe(): string | null {
    return this.trouble ?? this.#newestRefusal();
  }

  #newestRefusal(): string | null {
    const newest = [...this.#refusals.values()].at(-1);
    if (newest === undefined || this.#clock.monotonicMs() - newest.atMs > REMEMBERED_MS) return null;
    return newest.reason;
  }
}
