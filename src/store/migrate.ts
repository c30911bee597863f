import { StoreError } from '../operations/store-ports.ts';
import type { Database, Queryable } from './database.ts';
import type { Migration } from './statements.ts';
import { sqlStateOf } from './store-error.ts';

/** Key of the advisory lock: any constant that no other program on this database uses ("sluice" in ASCII). */
const LOCK_KEY = '126909320749925';
/** A migration may wait for the one of another instance, and may rewrite a table. */
const MIGRATION_TIMEOUT_MS = 120_000;
/**
 * Who wants a table for itself is waited for by all who come after: a migration behind a backup that reads for an hour would
 * stop everybody for so long. So it gives way, and comes again later. Below the server's `deadlock_timeout` (1 s), so that
 * in a circle it is not one of the others that ends.
 */
const GIVE_WAY = "SET LOCAL lock_timeout = '500ms'";
const UNDEFINED_TABLE = '42P01';
const LOCK_NOT_AVAILABLE = '55P03';

/**
 * Applies what is missing, each migration in a transaction of its own under a lock that the transaction's end releases
 * (behind a pooler there are no session locks). Names that this version does not know are left alone: migrations only
 * expand, so an older gateway runs beside a newer one. Returns the names applied. Throws `StoreError`, also where one gave way
 * to a transaction that holds a table which it changes: those before it are applied.
 */
export async function migrate(database: Database, migrations: readonly Migration[]): Promise<readonly string[]> {
  const known = await readApplied(database);
  const applied: string[] = [];
  for (const migration of migrations.filter(({ name }) => !known.has(name))) {
    if (await applyAlone(database, migration)) applied.push(migration.name);
  }
  return applied;
}

/** Without a lock, so that an up-to-date gateway starts without any and needs no right to create anything. */
async function readApplied(queryable: Queryable): Promise<ReadonlySet<string>> {
  try {
    const rows = await queryable.query<{ name: string }>('SELECT name FROM sluice.sluice_migration', []);
    return new Set(rows.map((row) => row.name));
  } catch (error) {
    if (sqlStateOf(error) !== UNDEFINED_TABLE) throw error;
    return new Set();
  }
}

async function applyAlone(database: Database, migration: Migration): Promise<boolean> {
  try {
    return await database.transaction((tx) => apply(tx, migration), { queryTimeoutMs: MIGRATION_TIMEOUT_MS });
  } catch (error) {
    if (sqlStateOf(error) !== LOCK_NOT_AVAILABLE) throw error;
    const message = `migration ${migration.name} gives way to a transaction that holds its tables (a backup?)`;
    throw new StoreError(message, { certainlyNotWritten: true, cause: error });
  }
}

async function apply(tx: Queryable, migration: Migration): Promise<boolean> {
  await tx.query('SELECT pg_advisory_xact_lock($1::int8)', [LOCK_KEY]);
  await prepareSchema(tx);
  if ((await readApplied(tx)).has(migration.name)) return false;
  // Not before: other instances' migrations are waited for.
  await tx.query(GIVE_WAY, []);
  await tx.execute(migration.script);
  await tx.query('INSERT INTO sluice.sluice_migration (name) VALUES ($1::text)', [migration.name]);
  return true;
}

/** A schema that an administrator made needs no right on the database, which CREATE … IF NOT EXISTS would ask for. */
async function prepareSchema(tx: Queryable): Promise<void> {
  const [found] = await tx.query<{ present: boolean }>("SELECT to_regnamespace('sluice') IS NOT NULL AS present", []);
  if (!found?.present) await tx.execute('CREATE SCHEMA sluice');
  await tx.execute(
    'CREATE TABLE IF NOT EXISTS sluice.sluice_migration (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())',
  );
}
