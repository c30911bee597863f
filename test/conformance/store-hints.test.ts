import pg from 'pg';
import { afterEach, expect, it } from 'vitest';
import { silentLogger } from '../../src/runtime/log.ts';
import { PostgresChangeHints } from '../../src/store/change-hints.ts';
import { ChangeNotices } from '../../src/store/change-notices.ts';
import { createStore, openDatabase, type Store, type StoreConfig } from '../../src/store/store.ts';
import { createTestDatabase, describeWithPostgres } from '../support/real-parts.ts';
import { aSuccess, REPLY_TOPIC, TEST_STORE_CONFIG, testStoreDeps } from '../support/store-parts.ts';
import { insertOne, settle } from '../support/store-rows.ts';
import { findFreePorts } from '../support/wait.ts';

const PATIENCE = { timeout: 20_000 };
const stores: Store[] = [];

afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

async function open(databaseUrl: string | null, parts: Partial<StoreConfig> = {}): Promise<Store> {
  const store = await createStore({ ...TEST_STORE_CONFIG, databaseUrl, ...parts }, testStoreDeps);
  stores.push(store);
  return store;
}

/** An instance that has seen who lives, and the ids of which it has heard. */
async function openInstance(databaseUrl: string, bootId: string) {
  const store = await open(databaseUrl, { bootId });
  const heard: string[] = [];
  store.hints.start((ids) => heard.push(...ids));
  await expect.poll(() => store.hints.trouble(), PATIENCE).toBeNull();
  const beat = () => store.heartbeat({ topic: REPLY_TOPIC, bootId, leaseMs: 60_000, progress: [] });
  await beat();
  return { store, heard, beat };
}

it('the embedded store has no need of hints', async () => {
  const store = await open(null);
  store.hints.start(() => undefined);
  expect(store.hints.trouble()).toBeNull();
});

describeWithPostgres('hints of changes', () => {
  it('name to others what one has settled, when it is committed, and nothing to itself', async () => {
    const url = await createTestDatabase();
    const [a, b] = [await openInstance(url, 'a'), await openInstance(url, 'b')];
    await a.beat();
    const id = await insertOne(a.store);
    await settle(a.store, id, aSuccess(1n));
    await expect.poll(() => b.heard, PATIENCE).toEqual([id]);
    const other = await insertOne(b.store);
    await settle(b.store, other, aSuccess(2n));
    await expect.poll(() => a.heard, PATIENCE).toEqual([other]);
    expect(b.heard).toEqual([id]);
  });

  it('are not sent where nobody else lives', async () => {
    const url = await createTestDatabase();
    const onlooker = new pg.Client({ connectionString: url });
    const heard: string[] = [];
    await onlooker.connect();
    try {
      onlooker.on('notification', ({ payload }) => heard.push(payload ?? ''));
      await onlooker.query('LISTEN sluice_changed');
      const { store } = await openInstance(url, 'alone');
      await settle(store, await insertOne(store), aSuccess(1n));
      await onlooker.query("NOTIFY sluice_changed, 'last'");
      await expect.poll(() => heard.at(-1), PATIENCE).toBe('last');
      expect(heard.filter((payload) => payload.includes(' changed '))).toEqual([]);
    } finally {
      await onlooker.end();
    }
  });

  it('are in trouble where there is nothing to listen to, and one line says so', async () => {
    const [port] = await findFreePorts(1);
    const lines: string[] = [];
    const logger = {
      ...silentLogger,
      warn: (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`),
    };
    const listenUrl = `postgres://someone:s3cret@127.0.0.1:${port}/none`;
    const config = { ...TEST_STORE_CONFIG, databaseUrl: await createTestDatabase(), listenUrl };
    const store = await createStore(config, { ...testStoreDeps, logger });
    stores.push(store);
    expect(store.hints.trouble()).toMatch(/not been tried/);
    store.hints.start(() => undefined);
    await expect.poll(() => store.hints.trouble(), PATIENCE).toMatch(/ECONNREFUSED/);
    expect(store.degraded()).toBeNull();
    expect(lines.filter((line) => line.includes('no hints of changes'))).toHaveLength(1);
    expect(lines.join()).not.toContain('s3cret');
  });

  it('are in trouble where notifications do not come back, though LISTEN is taken', async () => {
    // As behind a pooler: what is said in one place is not heard in the other.
    const [here, there] = [await createTestDatabase(), await createTestDatabase()];
    const database = await openDatabase({ ...TEST_STORE_CONFIG, databaseUrl: here }, testStoreDeps);
    const notices = new ChangeNotices('a');
    const options = { url: there, bootId: 'a', connectTimeoutMs: 5_000, proofEveryMs: 50, proofWithinMs: 100 };
    const hints = new PostgresChangeHints(options, { ...testStoreDeps, database, notices });
    hints.start(() => undefined);
    await expect.poll(() => hints.trouble(), PATIENCE).toMatch(/did not come back/);
    await hints.stop();
    await database.close();
  });

  it('come again after the connection was cut', async () => {
    const url = await createTestDatabase();
    const [a, b] = [await openInstance(url, 'a'), await openInstance(url, 'b')];
    await a.beat();
    const onlooker = await openDatabase({ ...TEST_STORE_CONFIG, databaseUrl: url }, testStoreDeps);
    const listeners = () =>
      onlooker.query<{ pid: number }>(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sluice-listen'",
        [],
      );
    const before = (await listeners()).map(({ pid }) => pid);
    expect(before).toHaveLength(2);
    await onlooker.query('SELECT pg_terminate_backend(p) FROM unnest($1::int[]) AS p', [before]);
    await expect
      .poll(async () => (await listeners()).filter(({ pid }) => !before.includes(pid)).length, PATIENCE)
      .toBe(2);
    await onlooker.close();
    await expect.poll(() => b.store.hints.trouble(), PATIENCE).toBeNull();
    const id = await insertOne(a.store);
    await settle(a.store, id, aSuccess(1n));
    await expect.poll(() => b.heard, PATIENCE).toEqual([id]);
  });
});
