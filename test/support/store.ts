// Stores under test: the embedded one in memory, and a real PostgreSQL with a database of its own, under one suite.
import { afterAll, beforeAll, describe } from 'vitest';
import type { Database } from '../../src/store/database.ts';
import { migrate } from '../../src/store/migrate.ts';
import { loadMigrations } from '../../src/store/statements.ts';
import { openDatabase, type Store } from '../../src/store/store.ts';
import { createTestDatabase, describeWithPostgres } from './real-parts.ts';
import { openStoreOn, TEST_STORE_CONFIG, testStoreDeps } from './store-parts.ts';

export interface StoreUnderTest {
  readonly store: Store;
  /** The database below it, to look at rows and to move its clock. */
  readonly database: Database;
}

/** The same tests on PGlite and, where the run has one, on PostgreSQL. `get` works in hooks and tests only. */
export function describeStores(
  name: string,
  body: (get: () => StoreUnderTest, kind: 'pglite' | 'postgres') => void,
): void {
  describe(`${name}, embedded`, () =>
    body(
      openForSuite(async () => null),
      'pglite',
    ));
  describeWithPostgres(`${name}, on PostgreSQL`, () => body(openForSuite(createTestDatabase), 'postgres'));
}

function openForSuite(findUrl: () => Promise<string | null>): () => StoreUnderTest {
  let opened: StoreUnderTest | undefined;
  beforeAll(async () => {
    const database = await openDatabase({ ...TEST_STORE_CONFIG, databaseUrl: await findUrl() }, testStoreDeps);
    await migrate(database, loadMigrations());
    opened = { database, store: openStoreOn(database) };
  });
  afterAll(() => opened?.store.close());
  return () => {
    if (!opened) throw new Error('the store is opened in a hook: ask for it in a test');
    return opened;
  };
}

/** Moves the database's clock against the real one, for every connection. */
export async function setDatabaseClock(database: Database, offsetMs: number): Promise<void> {
  await database.query('UPDATE sluice.clock_offset SET offset_ms = $1::float8', [offsetMs]);
}

/** For tests that look at everything that is due. */
export async function emptyStore(database: Database): Promise<void> {
  await setDatabaseClock(database, 0);
  await database.execute(
    'TRUNCATE sluice.operation, sluice.operation_event, sluice.lease, sluice.instance; ALTER SEQUENCE sluice.operation_order RESTART',
  );
}
