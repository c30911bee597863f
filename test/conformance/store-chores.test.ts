import { beforeEach, expect, it } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { describeStores, emptyStore, setDatabaseClock } from '../support/store.ts';
import { aNewOperation, anEvent, aReplyEvent, aSuccess, REPLY_TOPIC, TEST_TERMS } from '../support/store-parts.ts';
import { dispatchedAt, insertOne, keepAlive, leaseHome, settle } from '../support/store-rows.ts';

/** Long, for what a test does takes time too. */
const LEASE_MS = 60_000;
const idsOf = (operations: readonly { readonly id: string }[]) => operations.map(({ id }) => id);

describeStores('the chores lease', (get) => {
  beforeEach(() => emptyStore(get().database));

  it('has one holder, whoever asks at the same time', async () => {
    const { store } = get();
    const answers = await Promise.all(['a', 'b', 'c', 'd'].map((bootId) => store.hold(bootId, LEASE_MS)));
    expect(answers.filter(Boolean)).toHaveLength(1);
  });

  it('is renewed by its holder, and taken over once it has expired by the clock of the database', async () => {
    const { store, database } = get();
    expect(await store.hold('a', LEASE_MS)).toBe(true);
    await setDatabaseClock(database, LEASE_MS / 2);
    expect(await store.hold('b', LEASE_MS)).toBe(false);
    expect(await store.hold('a', LEASE_MS)).toBe(true);
    await setDatabaseClock(database, LEASE_MS + 1_000);
    expect(await store.hold('b', LEASE_MS)).toBe(false);
    await setDatabaseClock(database, 3 * LEASE_MS);
    expect(await store.hold('b', LEASE_MS)).toBe(true);
    expect(await store.hold('a', LEASE_MS)).toBe(false);
  });

  it('is free where its holder lets it go or is dead', async () => {
    const { store, database } = get();
    await store.hold('a', LEASE_MS);
    await store.letGo('b');
    expect(await store.hold('b', LEASE_MS)).toBe(false);
    await store.letGo('a');
    expect(await store.hold('b', LEASE_MS)).toBe(true);
    await store.heartbeat({ topic: REPLY_TOPIC, bootId: 'b', leaseMs: 1_000, progress: [] });
    await setDatabaseClock(database, 2_000);
    expect(await store.hold('c', LEASE_MS)).toBe(true);
  });

  it('is none of the leases of reply partitions', async () => {
    const { store } = get();
    await store.hold('a', LEASE_MS);
    const { partition } = await leaseHome(store);
    const partitions = (await store.listLeases(REPLY_TOPIC)).map((lease) => lease.partition);
    expect(partitions).toEqual([partition]);
    expect([...(await store.readPositions())]).toEqual([[partition, 100n]]);
  });
});

describeStores('what is due', (get) => {
  beforeEach(() => emptyStore(get().database));

  it('is told by the clock of the database', async () => {
    const { store, database } = get();
    const beforeMs = await store.nowMs();
    await setDatabaseClock(database, 3_600_000);
    expect((await store.nowMs()) - beforeMs).toBeGreaterThan(3_500_000);
  });

  it('to expire is what may be on the log and is past its deadline, oldest deadline first', async () => {
    const { store } = get();
    await keepAlive(store, 'living');
    const t0 = Date.now();
    const at = (deadlineMs: number, parts = {}) => insertOne(store, { deadlineMs, claimedBy: 'living', ...parts });
    const published = await at(t0 - 2_000);
    const maybeSent = await at(t0 - 5_000, { maybeSent: true });
    const ofTheDead = await at(t0 - 4_000, { claimedBy: 'dead' });
    const withTheLiving = await at(t0 - 3_000);
    const unclaimed = await at(t0 - 3_000);
    const done = await at(t0 - 3_000);
    await at(t0 + 60_000, { maybeSent: true });
    await store.giveBack('living', [{ operationId: unclaimed, maybeSent: false }]);
    await settle(store, published, dispatchedAt(1n));
    await settle(store, done, aSuccess(1n));
    expect(idsOf(await store.listExpirable(t0, 10))).toEqual([maybeSent, ofTheDead, published]);
    expect(idsOf(await store.listExpirable(t0, 1))).toEqual([maybeSent]);
    expect(idsOf(await store.listExpirable(t0 - 3_000, 10))).toEqual([maybeSent, ofTheDead]);
    expect(idsOf(await store.listUnsendable(10))).toEqual([unclaimed]);
    // The living had its time to say what it knows.
    expect(idsOf(await store.listExpirable(t0 + 28_000, 10))).toContain(withTheLiving);
    expect(idsOf(await store.listExpirable(t0 + 26_000, 10))).not.toContain(withTheLiving);
  });

  it('to be re-driven is what was silent for longer than its command allows, each attempt twice as long', async () => {
    const { store } = get();
    const createdAtMs = Date.now();
    const terms = { ...TEST_TERMS, maxAttempts: 3, redeliverAfterMs: 1_000, workerGroup: 'workers' };
    const parts = { createdAtMs, deadlineMs: createdAtMs + 600_000, terms };
    const at = (afterMs: number) => ({ atMs: createdAtMs + afterMs });
    const silent = await insertOne(store, parts);
    const alive = await insertOne(store, parts);
    const unpublished = await insertOne(store, parts);
    const never = await insertOne(store, { ...parts, terms: { ...terms, redeliverAfterMs: null } });
    const once = await insertOne(store, { ...parts, terms: { ...terms, maxAttempts: 1 } });
    const late = await insertOne(store, { ...parts, deadlineMs: createdAtMs + 2_000 });
    const done = await insertOne(store, parts);
    for (const id of [silent, alive, never, once, late, done]) await settle(store, id, dispatchedAt(5n, at(100)));
    await settle(store, alive, aReplyEvent('progressed', 1n, at(1_500)));
    await settle(store, done, aSuccess(2n));
    const due = async (afterMs: number, afterId: string | null = null) =>
      (await store.listSilent(createdAtMs + afterMs, 10, afterId)).map(({ operationId }) => operationId);

    expect(await due(1_000)).toEqual([]);
    expect(await store.listSilent(createdAtMs + 1_200, 10, null)).toEqual([
      {
        operationId: silent,
        topic: 'test.v1.Test.Do',
        attempt: 1,
        workerGroup: 'workers',
        publishedPartition: 0,
        publishedOffset: 5n,
      },
      expect.objectContaining({ operationId: late }),
    ]);
    expect(await due(2_600)).toEqual([silent, alive]);
    expect(await due(2_600, silent)).toEqual([alive]);
    expect(await due(2_600)).not.toContain(unpublished);

    const second = anEvent('redriven', { by: 'boot1', afterAttempt: 1, ...at(2_000) });
    await settle(store, silent, second);
    expect(await due(60_000)).toEqual([alive]);
    await settle(store, silent, dispatchedAt(6n, { afterAttempt: 2, ...at(3_000) }));
    expect(await due(4_900)).toEqual([alive]);
    expect(await due(5_100)).toEqual([silent, alive]);
    await settle(store, silent, anEvent('redriven', { by: 'boot1', afterAttempt: 2, ...at(6_000) }));
    await settle(store, silent, dispatchedAt(7n, { afterAttempt: 3, ...at(6_000) }));
    expect(await due(600_000 - 1)).toEqual([alive]);
  });

  it('to be reconciled is what is open past its deadline, and what expired in doubt', async () => {
    const { store, database } = get();
    const error = (delivery: 'unknown' | 'not_sent') => ({
      code: 'OPERATION_EXPIRED' as const,
      grpcCode: 'DEADLINE_EXCEEDED' as const,
      message: '',
      details: null,
      delivery,
    });
    const [overdue, doubtful, certain, failed, done] = [
      await insertOne(store),
      await insertOne(store),
      await insertOne(store),
      await insertOne(store),
      await insertOne(store),
    ];
    await insertOne(store, { deadlineMs: Date.now() + 600_000 });
    await settle(store, doubtful, anEvent('expired', { error: error('unknown') }));
    await settle(store, certain, anEvent('expired', { error: error('not_sent'), by: 'boot1' }));
    await settle(store, failed, anEvent('failed', { error: error('unknown') }));
    await settle(store, done, aSuccess(1n));
    const list = async (beforeId: string | null, limit = 10) =>
      idsOf(await store.listUnreconciled({ beforeId, limit }));
    expect(await list(null)).toEqual([doubtful]);
    await setDatabaseClock(database, 120_000);
    expect(await list(null)).toEqual([doubtful, overdue]);
    expect(await list(null, 1)).toEqual([doubtful]);
    expect(await list(doubtful)).toEqual([overdue]);
    expect(await store.countUnreconciled(10)).toBe(2);
    expect(await store.countUnreconciled(1)).toBe(1);
  });
});

/** Ends it a day before the clock is moved past its retention. */
const finish = (store: Store, id: string) => settle(store, id, aSuccess(1n));

describeStores('retention', (get, kind) => {
  beforeEach(() => emptyStore(get().database));
  const PAST_RETENTION_MS = 25 * 60 * 60 * 1000;

  const purgeAll = async (store: Store, limit = 100) => {
    const pages: number[] = [];
    for (let afterId: string | null = null; ; ) {
      const { purged, nextId } = await store.purge(afterId, limit);
      pages.push(purged);
      if (nextId === null) return pages;
      afterId = nextId;
    }
  };

  it('purges finished operations past it with their history, page by page, and no others', async () => {
    const { store, database } = get();
    const ids: string[] = [];
    for (let index = 0; index < 5; index++) ids.push(await insertOne(store));
    const [open, ...finished] = ids as [string, ...string[]];
    for (const id of finished) await finish(store, id);
    expect(await purgeAll(store)).toEqual([0]);
    await setDatabaseClock(database, PAST_RETENTION_MS);
    expect(await purgeAll(store, 2)).toEqual([1, 2, 1]);
    expect(idsOf(await store.read(ids))).toEqual([open]);
    const events = await database.query('SELECT DISTINCT operation_id FROM sluice.operation_event', []);
    expect(events).toEqual([{ operation_id: open }]);
  });

  it('keeps what owes a record until it is paid', async () => {
    const { store, database } = get();
    const expired = anEvent('expired', { error: { ...anExpiry, delivery: 'unknown' } });
    const cancelled = anEvent('cancelled', { error: { ...anExpiry, delivery: 'unknown' } });
    const [letter, word, event] = [await insertOne(store), await insertOne(store), await insertOne(store)];
    await settle(store, letter, expired);
    await settle(store, word, cancelled);
    await finish(store, event);
    await database.query('UPDATE sluice.operation_event SET owed = true WHERE operation_id = $1::uuid AND number = 2', [
      event,
    ]);
    await setDatabaseClock(database, PAST_RETENTION_MS);
    expect(await purgeAll(store)).toEqual([0]);
    await store.clearDeadLetters([letter]);
    expect(await purgeAll(store)).toEqual([1]);
    await store.clearCancellations([word]);
    expect(await purgeAll(store)).toEqual([1]);
    await store.clearEvents([{ operationId: event, number: 2 }]);
    expect(await purgeAll(store)).toEqual([1]);
    expect(await store.read([letter, word, event])).toEqual([]);
  });

  it('walks no further than where operations are too young to be past it', async () => {
    const { store, database } = get();
    const nowMs = Date.now();
    const old = aNewOperation({ createdAtMs: nowMs - PAST_RETENTION_MS });
    const young = Array.from({ length: 5 }, () => aNewOperation());
    await store.insert([old, ...young]);
    await settle(store, old.id, { ...aSuccess(1n), atMs: nowMs - PAST_RETENTION_MS });
    for (const { id } of young) await finish(store, id);
    expect(await purgeAll(store, 3)).toEqual([1]);
    // Those that are past it are walked through, whatever is young behind them.
    await setDatabaseClock(database, PAST_RETENTION_MS);
    expect(await purgeAll(store, 3)).toEqual([3, 2]);
  });

  if (kind === 'postgres') {
    it('waits for nobody', async () => {
      const { store, database } = get();
      const [busy, idle] = [await insertOne(store), await insertOne(store)];
      for (const id of [busy, idle]) await finish(store, id);
      await setDatabaseClock(database, PAST_RETENTION_MS);
      await database.transaction(async (tx) => {
        await tx.query('SELECT 1 FROM sluice.operation WHERE id = $1::uuid FOR NO KEY UPDATE', [busy]);
        expect(await purgeAll(store)).toEqual([1]);
      });
      expect(await purgeAll(store)).toEqual([1]);
    });
  }
});

const anExpiry = {
  code: 'OPERATION_EXPIRED' as const,
  grpcCode: 'DEADLINE_EXCEEDED' as const,
  message: 'too late',
  details: null,
};
