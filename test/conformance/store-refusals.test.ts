import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { migrate } from '../../src/store/migrate.ts';
import { loadMigrations } from '../../src/store/statements.ts';
import { createStore, openDatabase, type Store } from '../../src/store/store.ts';
import { createTestDatabase, describeWithPostgres } from '../support/real-parts.ts';
import { aNewOperation, openStoreOn, TEST_STORE_CONFIG, testStoreDeps } from '../support/store-parts.ts';

const closings: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closings.splice(0).reverse()) await close();
});

/** A database that another role owns, and one that may log in and no more. */
async function openOwned() {
  const url = await createTestDatabase();
  const owner = await openDatabase({ ...TEST_STORE_CONFIG, databaseUrl: url }, testStoreDeps);
  const role = `app_${randomBytes(4).toString('hex')}`;
  await owner.execute(`CREATE ROLE ${role} LOGIN`);
  closings.push(async () => {
    await owner.execute(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    await owner.close();
  });
  const asRole = new URL(url);
  asRole.username = role;
  return { owner, role, databaseUrl: asRole.href };
}

async function openStore(databaseUrl: string): Promise<Store> {
  const store = await createStore({ ...TEST_STORE_CONFIG, databaseUrl }, testStoreDeps);
  closings.push(() => store.close());
  return store;
}

describeWithPostgres('a user without a right', () => {
  it('is told at the start which one, and of whom to ask it', async () => {
    const { owner, role, databaseUrl } = await openOwned();
    await expect(openStore(databaseUrl)).rejects.toThrow(/GRANT CREATE ON DATABASE \w+ TO app_/);
    await migrate(owner, loadMigrations());
    await expect(openStore(databaseUrl)).rejects.toThrow(`GRANT USAGE ON SCHEMA sluice TO ${role}`);
    await owner.execute(`GRANT USAGE ON SCHEMA sluice TO ${role}`);
    const reading = openStore(databaseUrl);
    await expect(reading).rejects.toThrow(
      `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sluice TO ${role}`,
    );
    await expect(reading).rejects.toThrow('docs/operating.md');
  });

  it('degrades the store while its inserts are refused, though all else is answered, until one succeeds', async () => {
    const { owner, role, databaseUrl } = await openOwned();
    await migrate(owner, loadMigrations());
    await owner.execute(
      `GRANT USAGE ON SCHEMA sluice TO ${role}; GRANT SELECT ON ALL TABLES IN SCHEMA sluice TO ${role};`,
    );
    const store = await openStore(databaseUrl);
    expect(store.degraded()).toBeNull();
    await expect(store.insert([aNewOperation()])).rejects.toMatchObject({ certainlyNotWritten: true, refused: true });
    await store.read([aNewOperation().id]);
    expect(store.degraded()).toContain('permission denied');
    expect(store.degraded()).toContain(`ON ALL TABLES IN SCHEMA sluice TO ${role}`);
    await owner.execute(`GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA sluice TO ${role}`);
    await store.insert([aNewOperation()]);
    expect(store.degraded()).toBeNull();
  });
});

describe('the embedded database', () => {
  it('degrades the store while its inserts are refused, until one succeeds', async () => {
    const database = await openDatabase(TEST_STORE_CONFIG, testStoreDeps);
    await migrate(database, loadMigrations());
    const store = openStoreOn(database);
    closings.push(() => store.close());
    expect(store.degraded()).toBeNull();
    await database.execute('ALTER TABLE sluice.operation RENAME COLUMN version TO gone');
    await expect(store.insert([aNewOperation()])).rejects.toThrow(/version/);
    await store.readEvents(aNewOperation().id, 0, 1);
    expect(store.degraded()).toContain('version');
    await database.execute('ALTER TABLE sluice.operation RENAME COLUMN gone TO version');
    await store.insert([aNewOperation()]);
    expect(store.degraded()).toBeNull();
  });
});
