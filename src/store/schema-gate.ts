import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Database, Transaction } from './database.ts';
import { isDefinite, notReached, reasonOf } from './store-error.ts';

const FIRST_DELAY_MS = 250;
const LAST_DELAY_MS = 5_000;

/**
 * Keeps everybody from a database before its migrations are applied. While it is away at the start every call fails at
 * once with a `StoreError` that says nothing was written, and preparation is tried again, with growing pauses, until it
 * works or the gate is closed: a gateway starts degraded rather than not at all.
 */
export class SchemaGate {
  readonly #prepare: () => Promise<readonly string[]>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** Null once prepared. */
  #reason: string | null = 'the database is not prepared yet';
  #closed = false;
  #cancelTimer: () => void = () => undefined;
  /** The attempt under way, so that nobody pulls the database from under it. */
  #attempt: Promise<void> = Promise.resolve();

  /** `prepare` resolves with the names of the migrations that it applied. */
  constructor(prepare: () => Promise<readonly string[]>, deps: { readonly clock: Clock; readonly logger: Logger }) {
    this.#prepare = prepare;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
  }

  /**
   * Resolves after the first attempt, whether it worked or the database was away. Throws `StoreError` where waiting cannot
   * help: wrong password, no such database, no right to create the tables.
   */
  async start(): Promise<void> {
    try {
      await this.#tryOnce();
    } catch (error) {
      if (isDefinite(error)) throw error;
      this.#goOn(error, FIRST_DELAY_MS);
    }
  }

  guard(database: Database): Database {
    return new GuardedDatabase(database, () => this.#reason);
  }

  /** Resolves once no attempt is under way. Databases are closed by whoever opened them. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer();
    await this.#attempt.catch(() => undefined);
  }

  #tryOnce(): Promise<void> {
    this.#attempt = this.#prepare().then((applied) => {
      this.#reason = null;
      if (applied.length > 0) this.#logger.info({ migrations: applied }, 'the database schema was migrated');
    });
    return this.#attempt;
  }

  #goOn(error: unknown, delayMs: number): void {
    this.#reason = reasonOf(error);
    if (this.#closed) return;
    this.#logger.warn(
      { reason: this.#reason, retryInMs: delayMs },
      'the database is not available; the gateway goes on without',
    );
    this.#cancelTimer = this.#clock.setTimer(() => {
      this.#tryOnce().catch((next) => this.#goOn(next, Math.min(delayMs * 2, LAST_DELAY_MS)));
    }, delayMs);
  }
}

class GuardedDatabase implements Database {
  readonly #database: Database;
  /** Why the gate is shut; null where it is open. */
  readonly #reason: () => string | null;

  constructor(database: Database, reason: () => string | null) {
    this.#database = database;
    this.#reason = reason;
  }

  async query<Row>(sql: string, params: readonly unknown[]): Promise<Row[]> {
    this.#assertOpen();
    return this.#database.query<Row>(sql, params);
  }

  async execute(script: string): Promise<void> {
    this.#assertOpen();
    return this.#database.execute(script);
  }

  async transaction<Result>(
    run: (tx: Transaction) => Promise<Result>,
    options?: { readonly queryTimeoutMs?: number },
  ): Promise<Result> {
    this.#assertOpen();
    return this.#database.transaction(run, options);
  }

  health(): string | null {
    return this.#reason() ?? this.#database.health();
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  #assertOpen(): void {
    const reason = this.#reason();
    if (reason !== null) throw notReached(`the operation store is not available: ${reason}`);
  }
}
