/** What statements run on: a database, or one transaction of it. */
export interface Queryable {
  /**
   * One statement with `$1`-style parameters. `bigint` columns come back as bigint, `bytea` as Uint8Array, the same on
   * every adapter; times go through SQL as Unix milliseconds. Throws `StoreError`, its cause the driver's error. Outside a
   * transaction a statement that lost a deadlock runs again. Several may be asked for without waiting: they run in order.
   */
  query<Row>(sql: string, params: readonly unknown[]): Promise<Row[]>;
  /** Several statements without parameters: migrations. Throws `StoreError`. */
  execute(script: string): Promise<void>;
}

export interface Statement {
  readonly sql: string;
  readonly params: readonly unknown[];
}

export interface Transaction extends Queryable {
  /**
   * The last that a transaction does: runs the statements in order and commits, all in one round trip. Throws `StoreError`
   * where one of them fails; then nothing is written.
   */
  finish(statements: readonly Statement[]): Promise<void>;
}

/** PostgreSQL, as a server or inside this process. No session state: behind a pooler each transaction may be elsewhere. */
export interface Database extends Queryable {
  /**
   * Runs at READ COMMITTED; rolls back when `run` throws, and throws the same. A deadlock or serialisation failure runs
   * `run` again, a bounded number of times, so it must change nothing outside the transaction. BEGIN travels with the
   * statements that `run` asks for before it first waits; where it failed these would stand alone, so they read, lock, or
   * write what is right by itself.
   */
  transaction<Result>(
    run: (tx: Transaction) => Promise<Result>,
    options?: { readonly queryTimeoutMs?: number },
  ): Promise<Result>;
  /**
   * Null while the database answers, and refuses no statement for what is its own (a right, the disk); else why not. A
   * refusal counts until the same statement succeeds, five minutes at the most. Never contains a password.
   */
  health(): string | null;
  close(): Promise<void>;
}
