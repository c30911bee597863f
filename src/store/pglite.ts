import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PGlite, type Transaction } from '@electric-sql/pglite';
import type { Clock } from '../runtime/clock.ts';
import type { Database, Transaction as DatabaseTransaction, Statement } from './database.ts';
import { DatabaseHealth } from './database-health.ts';
import { lockFolder } from './folder-lock.ts';
import { notReached, statementFailed } from './store-error.ts';

export interface PgliteOptions {
  /** Folder of the gateway's data, or `:memory:` for tests. */
  readonly dataDir: string;
  /**
   * A tar of an empty data folder: read where it exists, written where it does not. Loading it takes half a second, making
   * a new data folder four. Null: not used.
   */
  readonly imageFile: string | null;
  /** Statements and transactions that may wait for their turn; one more is refused. */
  readonly maxWaitingQueries: number;
}

const IN_MEMORY = ':memory:';

const INT8_OID = 20;
const parsers = { [INT8_OID]: (text: string) => BigInt(text) };

/**
 * PostgreSQL inside this process, in a folder that is locked to it. One session: statements and transactions take turns,
 * on the main thread. It survives a kill, not a power cut: it never syncs to disk.
 */
export class PgliteDatabase implements Database {
  readonly #engine: PGlite;
  readonly #unlock: () => void;
  readonly #maxWaitingQueries: number;
  readonly #health: DatabaseHealth;
  #pending = 0;
  #closed = false;

  /** Throws `FolderLockedError` where another process has the folder. */
  static async open(options: PgliteOptions, deps: { readonly clock: Clock }): Promise<PgliteDatabase> {
    const health = new DatabaseHealth(deps.clock);
    if (options.dataDir === IN_MEMORY) {
      return new PgliteDatabase(await createEngine(null, options.imageFile), () => undefined, options, health);
    }
    await mkdir(options.dataDir, { recursive: true });
    const folder = join(options.dataDir, 'postgres');
    const unlock = lockFolder(folder);
    try {
      return new PgliteDatabase(await openFolder(folder, options.imageFile), unlock, options, health);
    } catch (error) {
      unlock();
      throw error;
    }
  }

  private constructor(engine: PGlite, unlock: () => void, options: PgliteOptions, health: DatabaseHealth) {
    this.#engine = engine;
    this.#unlock = unlock;
    this.#maxWaitingQueries = options.maxWaitingQueries;
    this.#health = health;
  }

  query<Row>(sql: string, params: readonly unknown[]): Promise<Row[]> {
    return this.#takeTurn(() => querySession<Row>(this.#engine, this.#health, sql, params));
  }

  execute(script: string): Promise<void> {
    return this.#takeTurn(() => executeSession(this.#engine, this.#health, script));
  }

  /** One session has nobody to meet in a deadlock, so nothing is repeated here. */
  transaction<Result>(run: (tx: DatabaseTransaction) => Promise<Result>): Promise<Result> {
    return this.#takeTurn(() => this.#engine.transaction((tx) => run(new EngineTransaction(tx, this.#health))));
  }

  health(): string | null {
    return this.#closed ? 'the database is closed' : this.#health.describe();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#engine.close();
    this.#unlock();
  }

  async #takeTurn<Result>(run: () => Promise<Result>): Promise<Result> {
    if (this.#closed) throw notReached('the database is closed');
    if (this.#pending > this.#maxWaitingQueries)
      throw notReached(`${this.#pending} statements wait for the database already`);
    this.#pending += 1;
    try {
      return await run();
    } finally {
      this.#pending -= 1;
    }
  }
}

class EngineTransaction implements DatabaseTransaction {
  readonly #session: Transaction;
  readonly #health: DatabaseHealth;

  constructor(session: Transaction, health: DatabaseHealth) {
    this.#session = session;
    this.#health = health;
  }

  query<Row>(sql: string, params: readonly unknown[]): Promise<Row[]> {
    return querySession<Row>(this.#session, this.#health, sql, params);
  }

  execute(script: string): Promise<void> {
    return executeSession(this.#session, this.#health, script);
  }

  /** The engine commits when the transaction's function returns. */
  async finish(statements: readonly Statement[]): Promise<void> {
    for (const { sql, params } of statements) await this.query(sql, params);
  }
}

async function querySession<Row>(
  session: PGlite | Transaction,
  health: DatabaseHealth,
  sql: string,
  params: readonly unknown[],
): Promise<Row[]> {
  const result = await noted(health, sql, session.query<Row>(sql, params as unknown[]));
  return result.rows as Row[];
}

async function executeSession(session: PGlite | Transaction, health: DatabaseHealth, script: string): Promise<void> {
  await noted(health, script, session.exec(script));
}

async function noted<Result>(health: DatabaseHealth, sql: string, answer: Promise<Result>): Promise<Result> {
  try {
    const result = await answer;
    health.noteSuccess(sql);
    return result;
  } catch (error) {
    const failure = statementFailed(error);
    health.noteFailure(sql, failure);
    throw failure;
  }
}

/** A mark stands beside a folder while it is made: one whose maker was killed meanwhile is half a folder, and made anew. */
async function openFolder(folder: string, imageFile: string | null): Promise<PGlite> {
  const mark = `${folder}.unfinished`;
  if (existsSync(mark)) await rm(folder, { recursive: true, force: true });
  if (existsSync(folder)) return createEngine(folder, null);
  await writeFile(mark, '');
  const engine = await createEngine(folder, imageFile);
  await rm(mark);
  return engine;
}

async function createEngine(folder: string | null, imageFile: string | null): Promise<PGlite> {
  const image = imageFile !== null && existsSync(imageFile) ? new Blob([await readFile(imageFile)]) : null;
  const engine = await PGlite.create({
    parsers,
    ...(folder !== null && { dataDir: folder }),
    ...(image !== null && { loadDataDir: image }),
  });
  if (imageFile !== null && image === null) await saveImage(engine, imageFile);
  return engine;
}

/** By rename, for several processes may do so at once. */
async function saveImage(engine: PGlite, imageFile: string): Promise<void> {
  const image = await engine.dumpDataDir('none');
  const unfinished = `${imageFile}.${process.pid}`;
  await mkdir(dirname(imageFile), { recursive: true });
  await writeFile(unfinished, new Uint8Array(await image.arrayBuffer()));
  await rename(unfinished, imageFile);
}
