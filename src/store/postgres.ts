import pg from 'pg';
import { StoreError } from '../operations/store-ports.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Database, Statement, Transaction } from './database.ts';
import { DatabaseHealth } from './database-health.ts';
import { encodeParameters } from './postgres-parameters.ts';
import { retryTransient } from './retry.ts';
import { notReached, reasonOf, statementFailed } from './store-error.ts';

export interface PostgresOptions {
  /** `postgres://user:password@host:port/database?sslmode=…`; the TLS options of the URL are the driver's. */
  readonly url: string;
  readonly poolSize: number;
  /** For a connection: waiting for a free one and opening it together. */
  readonly connectTimeoutMs: number;
  /** For one statement; at its end the connection is destroyed. */
  readonly queryTimeoutMs: number;
  /** A transaction in which nothing is asked for longer is rolled back by the server, its connection closed. */
  readonly idleInTransactionTimeoutMs: number;
  /** Statements and transactions that may wait for a connection; one more is refused. */
  readonly maxWaitingQueries: number;
}

const IDLE_TIMEOUT_MS = 30_000;
/** Connections spread again over the servers behind one name after a failover. */
const MAX_LIFETIME_SECONDS = 1800;
const READ_ONLY = '25006';
const INT8_OID = 20;
const BYTEA_OID = 17;

/** `bigint` exactly, and `bytea` as a plain Uint8Array as PGlite gives it. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (oid === INT8_OID && format !== 'binary') return BigInt;
    if (oid === BYTEA_OID && format !== 'binary') return parseBytes;
    return pg.types.getTypeParser(oid, format as 'text');
  }) as pg.CustomTypesConfig['getTypeParser'],
};

/**
 * A PostgreSQL server behind a bounded pool. Every statement ends within `queryTimeoutMs`: a connection that is silent for
 * longer is destroyed, for it may be half open and would answer nobody again. No named statements, no session state.
 */
export class PostgresDatabase implements Database {
  readonly #pool: pg.Pool;
  readonly #options: PostgresOptions;
  readonly #clock: Clock;
  readonly #health: DatabaseHealth;
  readonly #begin: string;
  /** Statements and transactions that hold a connection or wait for one. */
  #pending = 0;

  constructor(
    options: PostgresOptions,
    deps: { readonly clock: Clock; readonly logger: Logger; readonly health?: DatabaseHealth },
  ) {
    this.#options = options;
    this.#health = deps.health ?? new DatabaseHealth(deps.clock);
    this.#begin = beginWithin(options.idleInTransactionTimeoutMs);
    this.#clock = deps.clock;
    this.#pool = new pg.Pool({
      connectionString: checkUrl(options.url),
      max: options.poolSize,
      connectionTimeoutMillis: options.connectTimeoutMs,
      idleTimeoutMillis: IDLE_TIMEOUT_MS,
      maxLifetimeSeconds: MAX_LIFETIME_SECONDS,
      keepAlive: true,
      application_name: 'sluice',
      pipeline: true,
      types,
    });
    // The pool listens to idle clients only: one cut off between two statements of a transaction would end the process.
    this.#pool.on('connect', (client) => client.on('error', () => undefined));
    // Without a listener an idle connection that the server closes would end the process.
    this.#pool.on('error', (error) =>
      deps.logger.warn({ reason: reasonOf(error) }, 'an idle database connection was lost'),
    );
  }

  async query<Row>(sql: string, params: readonly unknown[]): Promise<Row[]> {
    const run = (session: Session) => session.query<Row>(sql, params);
    return retryTransient(this.#clock, () => this.#withSession(this.#options.queryTimeoutMs, run));
  }

  async execute(script: string): Promise<void> {
    return this.#withSession(this.#options.queryTimeoutMs, (session) => session.execute(script));
  }

  async transaction<Result>(
    run: (tx: Transaction) => Promise<Result>,
    options: { readonly queryTimeoutMs?: number } = {},
  ): Promise<Result> {
    const queryTimeoutMs = options.queryTimeoutMs ?? this.#options.queryTimeoutMs;
    return retryTransient(this.#clock, () =>
      this.#withSession(queryTimeoutMs, async (session) => {
        session.begin(this.#begin);
        const result = await run(session);
        if (session.inTransaction) await session.finish([]);
        return result;
      }),
    );
  }

  health(): string | null {
    return this.#health.describe();
  }

  async close(): Promise<void> {
    if (!this.#pool.ended) await this.#pool.end();
  }

  async #withSession<Result>(queryTimeoutMs: number, run: (session: Session) => Promise<Result>): Promise<Result> {
    const waiting = this.#pending - this.#options.poolSize;
    if (waiting >= this.#options.maxWaitingQueries) {
      throw notReached(`${waiting} statements wait for a database connection already`);
    }
    this.#pending += 1;
    try {
      return await this.#runOnClient(queryTimeoutMs, run);
    } finally {
      this.#pending -= 1;
    }
  }

  /** A session that ended badly and is still usable is rolled back, else destroyed. */
  async #runOnClient<Result>(queryTimeoutMs: number, run: (session: Session) => Promise<Result>): Promise<Result> {
    const client = await this.#connect();
    const session = new Session(client, this.#clock, this.#health, queryTimeoutMs);
    try {
      const result = await run(session);
      this.#health.trouble = null;
      return result;
    } catch (error) {
      if (!session.broken && session.inTransaction) await session.execute('ROLLBACK').catch(() => undefined);
      this.#health.trouble = session.broken ? reasonOf(error) : null;
      throw error;
    } finally {
      client.release(session.broken);
    }
  }

  async #connect(): Promise<pg.PoolClient> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      const reason = `no connection to the database: ${reasonOf(error)}`;
      this.#health.trouble = reason;
      throw notReached(reason, error);
    }
  }
}

/** One connection for as long as one statement or transaction needs it. */
class Session implements Transaction {
  readonly #client: pg.PoolClient;
  readonly #clock: Clock;
  readonly #health: DatabaseHealth;
  readonly #queryTimeoutMs: number;
  /** The answer to BEGIN, which the first statements do not wait for. */
  #begun: Promise<unknown> = Promise.resolve();
  /** Set where the connection may not be used again. */
  broken = false;
  inTransaction = false;

  constructor(client: pg.PoolClient, clock: Clock, health: DatabaseHealth, queryTimeoutMs: number) {
    this.#client = client;
    this.#clock = clock;
    this.#health = health;
    this.#queryTimeoutMs = queryTimeoutMs;
  }

  async query<Row>(sql: string, params: readonly unknown[]): Promise<Row[]> {
    const [, result] = await joinAll([this.#begun, this.#send({ text: sql, values: encodeParameters(params) })]);
    return (result as pg.QueryResult).rows as Row[];
  }

  async execute(script: string): Promise<void> {
    await joinAll([this.#begun, this.#send({ text: script })]);
  }

  begin(statement: string): void {
    this.inTransaction = true;
    this.#begun = this.#send({ text: statement });
    // It is waited for with the first statement; where none comes, with COMMIT.
    this.#begun.catch(() => undefined);
  }

  /** A statement that fails makes the COMMIT behind it a ROLLBACK. */
  async finish(statements: readonly Statement[]): Promise<void> {
    const sent = statements.map(({ sql, params }) => this.#send({ text: sql, values: encodeParameters(params) }));
    const committed = this.#send({ text: 'COMMIT' });
    this.inTransaction = false;
    await joinAll([this.#begun, ...sent, committed]);
  }

  /** Statements of one turn leave in one write: each write is a system call, and wakes the server. */
  #cork(): void {
    const { stream } = this.#client.connection;
    stream.cork();
    process.nextTick(() => stream.uncork());
  }

  async #send(config: pg.QueryConfig & { readonly text: string }): Promise<pg.QueryResult> {
    this.#cork();
    let cancelTimer: () => void = () => undefined;
    const silence = new Promise<never>((_, reject) => {
      const fail = () => reject(new Error(`no answer from the database within ${this.#queryTimeoutMs} ms`));
      cancelTimer = this.#clock.setTimer(fail, this.#queryTimeoutMs);
    });
    try {
      const result = await Promise.race([this.#client.query(config), silence]);
      this.#health.noteSuccess(config.text);
      return result;
    } catch (error) {
      this.broken ||= !isConnectionUsable(error);
      const failure = statementFailed(error, this.#client.user ?? null);
      this.#health.noteFailure(config.text, failure);
      throw failure;
    } finally {
      cancelTimer();
    }
  }
}

/**
 * The isolation by name, for a database may be configured with another default. And a bound: who stops in mid-transaction,
 * and closes no connection (a paused process, a host without power), would keep its locks for hours, on leases and
 * operations that others wait for. For this transaction only, as a pooler gives the session to others.
 */
function beginWithin(idleTimeoutMs: number): string {
  return `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '${idleTimeoutMs}ms'`;
}

/** All answers, or the first failure in the order of asking, once none is outstanding: the connection is then at rest. */
async function joinAll(answers: readonly Promise<unknown>[]): Promise<unknown[]> {
  const outcomes = await Promise.allSettled(answers);
  return outcomes.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  });
}

/**
 * Only an error that the server reported on a connection that it keeps leaves the connection usable; and a server that
 * became a read-only standby would refuse on it for ever.
 */
function isConnectionUsable(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.severity === 'ERROR' && error.code !== READ_ONLY;
}

function parseBytes(text: string): Uint8Array {
  const buffer = Buffer.from(text.slice(2), 'hex');
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** The driver's own error would repeat the URL, and with it the password. */
function checkUrl(url: string): string {
  if (/^postgres(ql)?:\/\//.test(url) && URL.canParse(url)) return url;
  throw new StoreError('DATABASE_URL is not a PostgreSQL URL; expected postgres://user:password@host:port/database', {
    certainlyNotWritten: true,
  });
}
