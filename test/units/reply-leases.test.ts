import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StoreError } from '../../src/operations/store-ports.ts';
import type { Database } from '../../src/store/database.ts';
import { migrate } from '../../src/store/migrate.ts';
import { loadMigrations } from '../../src/store/statements.ts';
import { openDatabase, type Store } from '../../src/store/store.ts';
import { anInvocation, beatUntil, startCore, type TestCore } from '../support/core.ts';
import { setDatabaseClock } from '../support/store.ts';
import { openStoreOn, TEST_STORE_CONFIG, testStoreDeps } from '../support/store-parts.ts';

const TOPIC = 'replies';

describe('the lease of a home reply partition', () => {
  let database: Database;
  let store: Store;
  const cores: TestCore[] = [];

  beforeEach(async () => {
    database = await openDatabase(TEST_STORE_CONFIG, testStoreDeps);
    await migrate(database, loadMigrations());
    store = openStoreOn(database, { replyTopic: TOPIC });
  });
  afterEach(async () => {
    await Promise.all(cores.splice(0).map((core) => core.stop()));
    await store.close();
  });

  async function start(own: Store): Promise<TestCore> {
    const core = await startCore(own, TOPIC);
    cores.push(core);
    return core;
  }

  it('is one instance’s: a second one has none, says why, and gets it when the first gives it back', async () => {
    const first = await start(store);
    await beatUntil(first, () => expect(first.leases.trouble()).toBeNull());
    const second = await start(store);
    await beatUntil(second, () => expect(second.leases.trouble()).toMatch(/all 1 reply partitions are leased/));
    await expect(async () => second.operations.invoke(anInvocation())).rejects.toMatchObject({
      code: 'NOT_READY',
      delivery: 'not_sent',
    });
    await cores.shift()?.stop();
    await beatUntil(second, () => expect(second.leases.home()).not.toBeNull());
  });

  it('outlives a database that is away: unrecorded calls go on, promises are not given', async () => {
    let away = false;
    const failing: Store = {
      ...store,
      heartbeat: (beat) => (away ? gone() : store.heartbeat(beat)),
      promote: (operations, lease) => (away ? gone() : store.promote(operations, lease)),
      insert: (operations) => (away ? gone() : store.insert(operations)),
    };
    const core = await start(failing);
    await beatUntil(core, () => expect(core.leases.home()).not.toBeNull());
    away = true;
    core.clock.advance(60_000);
    const answered = core.operations.invoke(anInvocation());
    core.channel.sent.at(-1)?.ack.resolve({ partition: 0, offset: 1n });
    core.channel.reply('result');
    expect(await answered).toMatchObject({ kind: 'replies' });
    expect(core.leases.trouble()).toBeNull();

    const unanswered = core.operations.invoke(anInvocation());
    unanswered.catch(() => undefined);
    core.clock.advance(1000);
    await expect(unanswered).rejects.toMatchObject({ code: 'WAIT_EXPIRED', delivery: 'unknown' });
    const recorded = core.operations.invoke(anInvocation({ wait: { kind: 'none' } }));
    await expect(recorded).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', delivery: 'not_sent' });
    core.channel.sent.at(-1)?.ack.resolve({ partition: 0, offset: 2n });
  });

  it('is lost when another instance takes it over after it ran out, and the loser promotes nothing under it', async () => {
    const core = await start(store);
    await beatUntil(core, () => expect(core.leases.home()).not.toBeNull());
    const before = core.leases.home();
    await setDatabaseClock(database, 20_000);
    const claim = { topic: TOPIC, partition: 0, bootId: 'other', home: true, leaseMs: 8000 };
    await store.heartbeat({ topic: TOPIC, bootId: 'other', leaseMs: 8000, progress: [] });
    expect((await store.take(claim))?.fence).toBeGreaterThan(before?.fence as bigint);

    const call = core.operations.invoke(anInvocation());
    call.catch(() => undefined);
    core.channel.sent.at(-1)?.ack.resolve({ partition: 0, offset: 1n });
    core.clock.advance(1000);
    await expect(call).rejects.toMatchObject({ code: 'WAIT_EXPIRED', delivery: 'unknown' });
    await beatUntil(core, () => expect(core.leases.home()).toBeNull());
    expect(core.loop.cursor(0)).toBeUndefined();
  });

  it('is opened at the next heartbeat where its taking broke off after the database had it', async () => {
    let takes = 0;
    const breaking: Store = {
      ...store,
      take: async (claim) => {
        const lease = await store.take(claim);
        takes += 1;
        if (takes === 1) throw new StoreError('the answer was lost', { certainlyNotWritten: false });
        return lease;
      },
    };
    const core = await start(breaking);
    await beatUntil(core, () => expect(core.leases.home()).not.toBeNull());
    expect(takes).toBe(2);
    expect(core.loop.cursor(0)).toBeDefined();
  });

  it('is left to its owner for a lease time after an outage of the database, though it has run out', async () => {
    let away = false;
    const flaky: Store = { ...store, heartbeat: (beat) => (away ? gone() : store.heartbeat(beat)) };
    const first = await start(store);
    await beatUntil(first, () => expect(first.leases.home()).not.toBeNull());
    const second = await start(flaky);
    await beatUntil(second, () => expect(second.leases.trouble()).toMatch(/leased by other instances/));
    away = true;
    second.clock.advance(4000);
    // The first one stands still: its lease runs out while the second one is blind.
    await setDatabaseClock(database, 20_000);
    await vi.waitFor(() => second.clock.advance(500));
    away = false;
    const beats = vi.spyOn(flaky, 'heartbeat');
    await beatUntil(second, () => expect(beats.mock.calls.length).toBeGreaterThan(3));
    expect(second.leases.home()).toBeNull();
    await beatUntil(second, () => expect(second.leases.home()).not.toBeNull());
  });

  it('still lets a call that waits have its answer after it was lost', async () => {
    const core = await start(store);
    await beatUntil(core, () => expect(core.leases.home()).not.toBeNull());
    const call = core.operations.invoke(anInvocation({ wait: { kind: 'for', waitMs: 5000 } }));
    core.channel.sent.at(-1)?.ack.resolve({ partition: 0, offset: 1n });
    core.loop.close(0);
    core.channel.reply('result');
    expect(await call).toMatchObject({ kind: 'replies' });
  });
});

function gone(): Promise<never> {
  return Promise.reject(new StoreError('the database is away', { certainlyNotWritten: true }));
}
