import type { CommandKey } from './deduplication.ts';
import type { PostgresResult } from './postgres-client.ts';
import { MarkWithoutReply } from './postgres-errors.ts';
import type { Reply } from './reply.ts';

/** One connection, as far as statements need it. */
export interface StatementRunner {
  query(text: string, params?: unknown[]): Promise<PostgresResult>;
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/;
const COLUMNS = 'worker_group, command_id, marked_at, reply_kind, reply_content_type, reply_value, reply_headers';

/**
 * The table of marks and its statements: none is named or leaves anything behind in the session, so they work behind a
 * pooler that gives each transaction another connection.
 */
export class PostgresMarks {
  readonly #table: string;
  readonly #index: string;
  readonly #quoted: string;
  readonly #lockWaitMs: number;

  /** @throws TypeError for a name of another form than `table` or `schema.table` */
  constructor(table: string, lockWaitMs: number) {
    const parts = table.split('.');
    if (parts.length > 2 || !parts.every((part) => NAME.test(part))) {
      throw new TypeError(
        `table: expected table or schema.table of letters, digits and _, got ${JSON.stringify(table)}`,
      );
    }
    this.#table = table;
    this.#quoted = parts.map((part) => `"${part}"`).join('.');
    // A name of more than 63 characters would be cut to that of the table.
    this.#index = `"${parts.at(-1)?.slice(0, 50)}_marked_at"`;
    this.#lockWaitMs = lockWaitMs;
  }

  /**
   * Makes the table where it is missing. Looks first, so that a role that may not create tables can use one that is
   * there; then under a lock, because two that create one table at once can fail on each other.
   * @throws Error that names the table
   */
  async ensure(session: StatementRunner): Promise<void> {
    const { rows } = await session.query('SELECT to_regclass($1) IS NOT NULL AS found', [this.#quoted]);
    if (!rows[0]?.found) await this.#create(session);
    try {
      await session.query(`SELECT ${COLUMNS} FROM ${this.#quoted} LIMIT 0`);
    } catch (error) {
      throw named(`table ${this.#table} cannot be used for marks of commands`, error);
    }
  }

  async #create(session: StatementRunner): Promise<void> {
    try {
      await session.query('BEGIN');
      await session.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`sluice ${this.#table}`]);
      await session.query(`CREATE TABLE IF NOT EXISTS ${this.#quoted} (
        worker_group text NOT NULL,
        command_id text NOT NULL,
        marked_at timestamptz NOT NULL DEFAULT now(),
        reply_kind text,
        reply_content_type text,
        reply_value bytea,
        reply_headers text,
        PRIMARY KEY (worker_group, command_id)
      )`);
      await session.query(`CREATE INDEX IF NOT EXISTS ${this.#index} ON ${this.#quoted} (marked_at)`);
      await session.query('COMMIT');
    } catch (error) {
      await session.query('ROLLBACK').catch(() => {});
      throw named(`table ${this.#table} of marks could not be made`, error);
    }
  }

  /** Two statements in one message. The bound is the transaction's own and ends with it. */
  async begin(session: StatementRunner): Promise<void> {
    await session.query(`BEGIN; SET LOCAL lock_timeout = ${this.#lockWaitMs}`);
  }

  /**
   * True: the command is this transaction's to run. The row that is inserted keeps others waiting here until it ends.
   * False: another has run it. Fails with `LOCK_NOT_AVAILABLE` where another still runs it.
   */
  async claim(session: StatementRunner, { group, id }: CommandKey): Promise<boolean> {
    const text = `INSERT INTO ${this.#quoted} (worker_group, command_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`;
    return (await session.query(text, [group, id])).rowCount === 1;
  }

  /** What follows can be undone without the mark; the handler's statements wait for locks as their session says. */
  async protectMark(session: StatementRunner): Promise<void> {
    await session.query('SET LOCAL lock_timeout TO DEFAULT; SAVEPOINT sluice_effect');
  }

  async undoEffect(session: StatementRunner): Promise<void> {
    await session.query('ROLLBACK TO SAVEPOINT sluice_effect');
  }

  async write(session: StatementRunner, { group, id }: CommandKey, reply: Reply): Promise<void> {
    const text = `UPDATE ${this.#quoted}
      SET reply_kind = $3, reply_content_type = $4, reply_value = $5, reply_headers = $6
      WHERE worker_group = $1 AND command_id = $2`;
    const value = reply.value === null ? null : Buffer.from(reply.value);
    await session.query(text, [group, id, reply.kind, reply.contentType, value, JSON.stringify(reply.headers)]);
  }

  /** @throws MarkWithoutReply */
  async read(session: StatementRunner, { group, id }: CommandKey): Promise<Reply | undefined> {
    const text = `SELECT reply_kind AS kind, reply_content_type AS "contentType", reply_value AS value,
      reply_headers AS headers FROM ${this.#quoted} WHERE worker_group = $1 AND command_id = $2`;
    const row = (await session.query(text, [group, id])).rows[0];
    if (row === undefined) return undefined;
    if (row.kind === null) throw new MarkWithoutReply(`${this.#table}: the mark of ${id} has no reply`);
    return { kind: row.kind, contentType: row.contentType, value: row.value, headers: JSON.parse(row.headers) };
  }

  /** Returns how many went. Skips what another instance is deleting. */
  async purge(session: StatementRunner, retentionMs: number, limit: number): Promise<number> {
    const text = `DELETE FROM ${this.#quoted} WHERE (worker_group, command_id) IN (
      SELECT worker_group, command_id FROM ${this.#quoted} WHERE marked_at < now() - $1::float8 * interval '1 ms'
      ORDER BY marked_at LIMIT $2 FOR UPDATE SKIP LOCKED)`;
    return (await session.query(text, [retentionMs, limit])).rowCount ?? 0;
  }
}

/** Keeps the code, by which a repetition is decided on. */
function named(what: string, cause: unknown): Error {
  const { message, code } = cause as { message: string; code?: unknown };
  return Object.assign(new Error(`${what}: ${message}`, { cause }), { code });
}
