import { expect, it } from 'vitest';
import { StoreError } from '../../src/operations/store-ports.ts';
import { migrate } from '../../src/store/migrate.ts';
import { loadMigrations } from '../../src/store/statements.ts';
import { openDatabase, type Store } from '../../src/store/store.ts';
import { beatUntil, startCore } from '../support/core.ts';
import { openStoreOn, TEST_STORE_CONFIG, testStoreDeps } from '../support/store-parts.ts';

const TOPIC = 'replies';

it('is read, or given back, what an instance owns and did not manage to give back', async () => {
  const database = await openDatabase(TEST_STORE_CONFIG, testStoreDeps);
  await migrate(database, loadMigrations());
  const store = openStoreOn(database, { replyTopic: TOPIC });
  await store.ensure(TOPIC, new Map([0, 1, 2, 3].map((partition) => [partition, 0n])));
  let releases = 0;
  const failing: Store = {
    ...store,
    release: async (...asked) => {
      releases += 1;
      if (releases === 1) throw new StoreError('the database is away', { certainlyNotWritten: true });
      return store.release(...asked);
    },
  };
  const first = await startCore(failing, TOPIC);
  try {
    await beatUntil(first, () => expect([...first.loop.cursors()]).toHaveLength(4));
    // Another one comes and has none: two are due to it.
    await store.heartbeat({ topic: TOPIC, bootId: 'another', leaseMs: 60_000, progress: [] });
    await beatUntil(first, () => expect(releases).toBeGreaterThan(0));
    await beatUntil(first, async () => {
      const free = (await store.listLeases(TOPIC)).filter(({ owner }) => owner === null);
      expect(free).toHaveLength(2);
    });
  } finally {
    await first.stop();
    await store.close();
  }
});
