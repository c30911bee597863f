import { afterEach, expect, it } from 'vitest';
import type { LeaseProgress } from '../../src/replies/ports.ts';
import { describeStores, type StoreUnderTest, setDatabaseClock } from '../support/store.ts';

const LEASE_MS = 8_000;
let topicNumber = 0;

/** A topic of its own a test, with two partitions that start at 10 and 20. */
async function openTopic({ store }: StoreUnderTest) {
  const topic = `replies-${++topicNumber}`;
  await store.ensure(
    topic,
    new Map([
      [0, 10n],
      [1, 20n],
    ]),
  );
  return {
    topic,
    beat: (bootId: string, progress: readonly LeaseProgress[] = []) =>
      store.heartbeat({ topic, bootId, leaseMs: LEASE_MS, progress }),
    take: (bootId: string, partition: number, home = false) =>
      store.take({ topic, partition, bootId, home, leaseMs: LEASE_MS }),
    read: async (partition: number) => {
      const { leases } = await store
        .heartbeat({ topic: 'another', bootId: 'onlooker', leaseMs: 1, progress: [] })
        .then(() => store.heartbeat({ topic, bootId: 'onlooker', leaseMs: 1, progress: [] }));
      return leases.find((lease) => lease.partition === partition)!;
    },
  };
}

describeStores('the lease store', (get, kind) => {
  afterEach(async () => {
    const { database } = get();
    await setDatabaseClock(database, 0);
    await database.query('DELETE FROM sluice.instance', []);
  });

  it('creates missing rows at the start of the log and leaves known ones as they are', async () => {
    const { store } = get();
    const { topic, take, beat } = await openTopic(get());
    const taken = await take('a', 1);
    await beat('a', [{ partition: 1, fence: taken!.fence, expectedOffset: 20n, nextOffset: 25n }]);
    await store.ensure(
      topic,
      new Map([
        [1, 99n],
        [2, 30n],
      ]),
    );
    const { leases } = await beat('a');
    expect(leases.map(({ partition, nextOffset }) => [partition, nextOffset])).toEqual([
      [0, 10n],
      [1, 25n],
      [2, 30n],
    ]);
  });

  it('gives a free lease to one of those who ask at the same time', async () => {
    const { take, read } = await openTopic(get());
    const claims = await Promise.all(['a', 'b', 'c', 'd'].map((bootId) => take(bootId, 0, true)));
    const taken = claims.filter((lease) => lease !== null);
    expect(taken).toHaveLength(1);
    expect(taken[0]).toMatchObject({ partition: 0, home: true, fence: 1n, nextOffset: 10n, expired: false });
    expect(await read(0)).toEqual(taken[0]);
  });

  it('refuses a lease that another instance holds', async () => {
    const { beat, take } = await openTopic(get());
    await beat('a');
    await take('a', 0);
    expect(await take('b', 0)).toBeNull();
  });

  it('gives an expired lease away with a new fence and the position where it stood', async () => {
    const { database } = get();
    const { beat, take } = await openTopic(get());
    await beat('a');
    const first = await take('a', 0);
    await beat('a', [{ partition: 0, fence: first!.fence, expectedOffset: 10n, nextOffset: 15n }]);
    await setDatabaseClock(database, LEASE_MS - 1_000);
    expect(await take('b', 0)).toBeNull();
    await setDatabaseClock(database, LEASE_MS + 1_000);
    expect(await take('b', 0)).toMatchObject({ owner: 'b', fence: first!.fence + 1n, nextOffset: 15n });
  });

  it('tells by the clock of the database which leases have expired', async () => {
    const { database } = get();
    const { take, read } = await openTopic(get());
    await take('a', 0);
    expect(await read(0)).toMatchObject({ owner: 'a', expired: false });
    await setDatabaseClock(database, LEASE_MS + 1_000);
    expect(await read(0)).toMatchObject({ owner: 'a', expired: true });
    expect(await read(1)).toMatchObject({ owner: null, expired: false });
  });

  it('renews an expired lease that nobody took, under the fence it had', async () => {
    const { database } = get();
    const { beat, take } = await openTopic(get());
    await beat('a');
    const taken = await take('a', 0);
    await setDatabaseClock(database, LEASE_MS + 60_000);
    const { leases } = await beat('a');
    expect(leases[0]).toMatchObject({ owner: 'a', fence: taken!.fence, expired: false });
    expect(await take('b', 0)).toBeNull();
  });

  it('renews nothing that was taken over', async () => {
    const { database } = get();
    const { beat, take } = await openTopic(get());
    await beat('a');
    await take('a', 0);
    await setDatabaseClock(database, LEASE_MS + 1_000);
    await beat('b');
    await take('b', 0);
    const { leases } = await beat('a');
    expect(leases[0]).toMatchObject({ owner: 'b' });
    expect((await beat('b')).leases[0]).toMatchObject({ owner: 'b', expired: false });
  });

  it('takes no home from an instance that lives, though the lease has run out', async () => {
    const { store, database } = get();
    const { topic, take } = await openTopic(get());
    await take('a', 0, true);
    await take('a', 1);
    await store.heartbeat({ topic: 'another', bootId: 'a', leaseMs: 60_000, progress: [] });
    await setDatabaseClock(database, LEASE_MS + 1_000);
    expect(await take('b', 0)).toBeNull();
    expect(await take('b', 1)).toMatchObject({ owner: 'b' });
    await store.retire(topic, 'a');
    expect(await take('b', 0, true)).toMatchObject({ owner: 'b', home: true });
  });

  it('gives away the leases of an instance that is dead before they run out', async () => {
    const { store, database } = get();
    const { topic, take } = await openTopic(get());
    await store.heartbeat({ topic, bootId: 'a', leaseMs: 1_000, progress: [] });
    await take('a', 0, true);
    await setDatabaseClock(database, 2_000);
    expect(await take('b', 0)).toMatchObject({ owner: 'b' });
  });

  it('lets an owner make its lease its home, with a new fence', async () => {
    const { take } = await openTopic(get());
    const foreign = await take('a', 0);
    expect(await take('a', 0, true)).toMatchObject({ home: true, fence: foreign!.fence + 1n });
  });

  it('writes progress only under the fence and from the position that it expects', async () => {
    const { beat, take, read } = await openTopic(get());
    const [zero, one] = [await take('a', 0), await take('a', 1)];
    const { moved } = await beat('a', [
      { partition: 0, fence: zero!.fence, expectedOffset: 10n, nextOffset: 12n },
      { partition: 1, fence: one!.fence, expectedOffset: 19n, nextOffset: 22n },
    ]);
    expect(moved).toEqual([0]);
    expect((await beat('a', [{ partition: 1, fence: 99n, expectedOffset: 20n, nextOffset: 22n }])).moved).toEqual([]);
    expect((await read(0)).nextOffset).toBe(12n);
    expect((await read(1)).nextOffset).toBe(20n);
  });

  it('names the instances that live, and forgets those that died long ago', async () => {
    const { database } = get();
    const { beat } = await openTopic(get());
    await beat('a');
    await beat('b');
    expect((await beat('b')).liveInstances).toEqual(['a', 'b']);
    await setDatabaseClock(database, LEASE_MS + 1_000);
    expect((await beat('b')).liveInstances).toEqual(['b']);
    await setDatabaseClock(database, 2 * 60 * 60 * 1_000);
    await beat('c');
    expect(await database.query('SELECT boot_id FROM sluice.instance', [])).toEqual([{ boot_id: 'c' }]);
  });

  it('measures how far this machine is from the time of the database', async () => {
    const { database } = get();
    const { beat } = await openTopic(get());
    const { clockOffsetMs: before } = await beat('a');
    await setDatabaseClock(database, 3_600_000);
    const { clockOffsetMs: after } = await beat('a');
    expect(Math.abs(after - before - 3_600_000)).toBeLessThan(60_000);
  });

  it('gives back what is released, and the giver may settle no more', async () => {
    const { store } = get();
    const { topic, take, read } = await openTopic(get());
    const given = await take('a', 0, true);
    await take('a', 1);
    await store.release(topic, 'a', [0]);
    await store.release(topic, 'b', [1]);
    expect(await read(0)).toMatchObject({ owner: null, home: false });
    expect(await read(1)).toMatchObject({ owner: 'a' });
    const proof = { partition: 0, fence: given!.fence };
    expect(await store.resetPosition(topic, proof, 50n)).toBe(false);
    expect(await take('b', 0)).toMatchObject({ owner: 'b', nextOffset: 10n });
  });

  it('retires an instance with all that it held', async () => {
    const { store } = get();
    const { topic, beat, take, read } = await openTopic(get());
    await beat('a');
    await take('a', 0, true);
    await take('a', 1);
    await store.retire(topic, 'a');
    expect(await read(0)).toMatchObject({ owner: null });
    expect(await read(1)).toMatchObject({ owner: null });
    expect((await beat('b')).liveInstances).not.toContain('a');
  });

  it('sets a position that the log has lost, for the holder only', async () => {
    const { store } = get();
    const { topic, take, read } = await openTopic(get());
    const { partition, fence } = (await take('a', 0))!;
    expect(await store.resetPosition(topic, { partition, fence: fence + 1n }, 50n)).toBe(false);
    expect(await store.resetPosition(topic, { partition, fence }, 50n)).toBe(true);
    expect((await read(0)).nextOffset).toBe(50n);
  });

  if (kind === 'postgres') {
    it('gives a free lease that somebody writes just now at a later beat, and makes nobody wait for it', async () => {
      const { database } = get();
      const { topic, take } = await openTopic(get());
      await database.transaction(async (tx) => {
        await tx.query('SELECT FROM sluice.lease WHERE topic = $1::text AND partition = 0 FOR NO KEY UPDATE', [topic]);
        expect(await take('b', 0)).toBeNull();
        expect(await take('b', 1)).toMatchObject({ owner: 'b' });
      });
      expect(await take('b', 0)).toMatchObject({ owner: 'b' });
    });
  }
});
