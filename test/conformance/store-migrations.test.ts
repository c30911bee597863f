import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../src/store/database.ts';
import { migrate } from '../../src/store/migrate.ts';
import { loadMigrations } from '../../src/store/statements.ts';
import { openDatabase, type Store } from '../../src/store/store.ts';
import { newOperationId } from '../support/operations.ts';
import { createTestDatabase, describeWithPostgres } from '../support/real-parts.ts';
import { setDatabaseClock } from '../support/store.ts';
import { anEvent, aSuccess, openStoreOn, TEST_STORE_CONFIG, testStoreDeps } from '../support/store-parts.ts';
import { dispatchedAt, readFacts, readOne, settle } from '../support/store-rows.ts';

/** What an instance of the first version writes when it accepts. */
async function insertAsBefore(database: Database, claimedBy: string): Promise<string> {
  const id = newOperationId();
  await database.query(
    `INSERT INTO sluice.operation (
      id, command, principal, state, version, created_at, updated_at, deadline,
      record_topic, record_key, record_headers, record_value, claimed_by, maybe_sent
    ) VALUES ($1::uuid, 'test.v1.Test/Do', 'alice', 'accepted', 1, now(), now(), now() + interval '1 minute',
      'test.v1.Test.Do', 'k', '', '{}', $2::text, false)`,
    [id, claimedBy],
  );
  await database.query(
    `INSERT INTO sluice.operation_event (operation_id, number, type, at, late) VALUES ($1::uuid, 1, 'accepted', now(), false)`,
    [id],
  );
  return id;
}

function itGoesOn(findUrl: () => Promise<string | null>): void {
  let database: Database;
  let store: Store;
  const ids: string[] = [];

  beforeAll(async () => {
    database = await openDatabase({ ...TEST_STORE_CONFIG, databaseUrl: await findUrl() }, testStoreDeps);
    const [first, ...others] = loadMigrations();
    expect(others).not.toEqual([]);
    await migrate(database, [first!]);
    for (const claimedBy of ['dead', 'living', 'living']) ids.push(await insertAsBefore(database, claimedBy));
    expect(await migrate(database, loadMigrations())).toEqual(others.map(({ name }) => name));
    store = openStoreOn(database);
    await store.heartbeat({ topic: 'another', bootId: 'living', leaseMs: 60_000, progress: [] });
  });
  afterAll(() => database?.close());

  it('settles rows of the version before', async () => {
    const [, , id] = ids as [string, string, string];
    await settle(store, id, dispatchedAt(1n, { afterAttempt: 1 }), aSuccess(1n));
    expect(await readOne(store, id)).toMatchObject({ state: 'succeeded', attempt: 1, version: 3 });
    expect((await store.readEvents(id, 0, 10))[0]?.event).toMatchObject({
      type: 'accepted',
      by: null,
      published: null,
    });
  });

  it('takes rows of the version before from the dead, and leaves them to the living', async () => {
    const [ofTheDead, ofTheLiving] = ids as [string, string];
    const claimed = await store.claimAbandoned('heir', {
      maxItems: 10,
      maxBytes: 1_000,
      ofTheDead: true,
      exceptTopics: [],
    });
    const terms = { ordered: false, endsAtAck: false, attempt: 1, maybeSent: true };
    expect(claimed).toMatchObject([{ operationId: ofTheDead, ...terms }]);
    expect(await readFacts(database, ofTheLiving)).toMatchObject({ claimed_by: 'living' });
  });

  it('takes rows that an instance of the version before still writes, and never re-drives them', async () => {
    const id = await insertAsBefore(database, 'living');
    await settle(store, id, dispatchedAt(1n, { afterAttempt: 1 }));
    expect(await store.listSilent(Date.now() + 50_000, 10, null)).toEqual([]);
    await setDatabaseClock(database, 120_000);
    expect((await store.listExpirable(Date.now() + 120_000, 10)).map((operation) => operation.id)).toContain(id);
    await setDatabaseClock(database, 0);
    await settle(store, id, anEvent('expired', { atMs: 1 }));
    await setDatabaseClock(database, 25 * 60 * 60 * 1000);
    expect((await store.purge(null, 100)).purged).toBeGreaterThan(0);
  });
}

describe('a database with rows of the version before, embedded', () => itGoesOn(async () => null));
describeWithPostgres('a database with rows of the version before, on PostgreSQL', () => itGoesOn(createTestDatabase));

describeWithPostgres('a migration beside a transaction that reads for long', () => {
  const newer = { name: 'newer', script: 'ALTER TABLE sluice.operation ADD COLUMN newer text' };
  let database: Database;
  beforeAll(async () => {
    database = await openDatabase({ ...TEST_STORE_CONFIG, databaseUrl: await createTestDatabase() }, testStoreDeps);
    await migrate(database, loadMigrations());
  });
  afterAll(() => database?.close());

  it('gives way while it reads, and is applied afterwards', async () => {
    await database.transaction(async (reader) => {
      await reader.query('LOCK TABLE sluice.operation IN ACCESS SHARE MODE', []);
      await expect(migrate(database, [...loadMigrations(), newer])).rejects.toMatchObject({
        certainlyNotWritten: true,
        message: expect.stringContaining('newer gives way'),
      });
    });
    expect(await migrate(database, [...loadMigrations(), newer])).toEqual(['newer']);
  });
});
