// Moves the database's clock of gateways that are stopped, on either stack.
import { migrate } from '../../src/store/migrate.ts';
import { loadMigrations } from '../../src/store/statements.ts';
import { openDatabase } from '../../src/store/store.ts';
import { setDatabaseClock } from './store.ts';
import { TEST_STORE_CONFIG, testStoreDeps } from './store-parts.ts';

/** @param store of the gateways' config; an embedded one must be in a folder, and nobody may have it open */
export async function shiftDatabaseClock(
  { databaseUrl, dataDir }: { readonly databaseUrl: string | null; readonly dataDir: string },
  offsetMs: number,
): Promise<void> {
  const database = await openDatabase({ ...TEST_STORE_CONFIG, databaseUrl, dataDir }, testStoreDeps);
  try {
    await migrate(database, loadMigrations());
    await setDatabaseClock(database, offsetMs);
  } finally {
    await database.close();
  }
}
