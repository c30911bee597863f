import type { Clock } from './clock.ts';

/** What is used of a pool of connections: a `pg.Pool` fits as it is. */
export interface PostgresPool<Client extends PostgresClient = PostgresClient> {
  connect(): Promise<Client>;
  /** `pg` announces each new connection before it hands it out. */
  on?(event: 'connect', listener: (client: Client) => void): unknown;
}

export interface PostgresResult {
  // biome-ignore lint/suspicious/noExplicitAny: whoever wrote the statement knows its columns
  readonly rows: any[];
  readonly rowCount: number | null;
}

/** What is used of a connection: a `pg.PoolClient` fits as it is. */
export interface PostgresClient {
  query(text: string, params?: unknown[]): Promise<PostgresResult>;
  /** With an error the connection is closed and not used again. */
  release(error?: Error): void;
  /** `pg` emits an error when a connection breaks, which ends the process where nobody listens. */
  on?(event: 'error', listener: (error: Error) => void): unknown;
  off?(event: 'error', listener: (error: Error) => void): unknown;
}

export interface PostgresBounds {
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
  readonly clock: Clock;
}

/** Several stores may share a pool. */
const heardPools = new WeakSet<object>();

/**
 * A server that goes down may say so in the same packet as its greeting. `pg` emits that as an error while the connection
 * is on its way from the pool, when neither the pool nor its borrower listens, and the process would end.
 */
export function surviveNewConnections<Client extends PostgresClient>(pool: PostgresPool<Client>): void {
  if (heardPools.has(pool)) return;
  heardPools.add(pool);
  pool.on?.('connect', (client) => client.on?.('error', () => {}));
}

/** No answer in time. The connection is closed; what the statement did is unknown. */
export class PostgresTimeout extends Error {
  override readonly name = 'PostgresTimeout';
}

/**
 * One connection, borrowed. Each wait is bounded on this side: a server that hangs, or a network that swallows packets,
 * answers no timeout of its own. A statement that is overdue closes the connection, which ends its transaction.
 */
export class PostgresSession<Client extends PostgresClient = PostgresClient> {
  readonly client: Client;
  readonly #bounds: PostgresBounds;
  readonly #ignore = () => {};
  #isReleased = false;

  private constructor(client: Client, bounds: PostgresBounds) {
    this.client = client;
    this.#bounds = bounds;
    client.on?.('error', this.#ignore);
  }

  /** @throws PostgresTimeout, or what the pool throws */
  static async open<Client extends PostgresClient>(
    pool: PostgresPool<Client>,
    bounds: PostgresBounds,
  ): Promise<PostgresSession<Client>> {
    const connecting = pool.connect();
    const what = `no connection from the pool within ${bounds.connectTimeoutMs} ms`;
    const client = await within(bounds.clock, bounds.connectTimeoutMs, what, connecting, () => {
      // It may come yet, and would be missed by the pool for ever.
      connecting.then(
        (late) => late.release(),
        () => {},
      );
    });
    return new PostgresSession(client, bounds);
  }

  /** @throws PostgresTimeout, or what the server answers */
  query(text: string, params?: unknown[]): Promise<PostgresResult> {
    if (this.#isReleased) return Promise.reject(new Error('the connection was given back'));
    const { clock, statementTimeoutMs } = this.#bounds;
    const what = `no answer from PostgreSQL within ${statementTimeoutMs} ms`;
    const answer = this.client.query(text, params);
    return within(clock, statementTimeoutMs, what, answer, (error) => {
      answer.catch(() => {});
      this.release(error);
    });
  }

  /** Ends what is open; where that fails the connection is closed, and the server does it. */
  async rollBack(): Promise<void> {
    if (this.#isReleased) return;
    await this.query('ROLLBACK').catch((error) => this.release(error));
  }

  /** Twice is harmless. */
  release(error?: Error): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.client.release(error);
    // A closed connection may still report how it ended.
    if (error === undefined) this.client.off?.('error', this.#ignore);
  }
}

function within<Value>(
  clock: Clock,
  timeoutMs: number,
  what: string,
  promise: Promise<Value>,
  onLate: (error: Error) => void,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const cancel = clock.setTimer(() => {
      const error = new PostgresTimeout(what);
      onLate(error);
      reject(error);
    }, timeoutMs);
    promise.then(resolve, reject).finally(cancel);
  });
}
