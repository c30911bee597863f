import { beforeEach, expect, it } from 'vitest';
import type { Inserted, NewOperation } from '../../src/operations/store-ports.ts';
import type { Store } from '../../src/store/store.ts';
import { describeStores, emptyStore, setDatabaseClock } from '../support/store.ts';
import { aNewOperation, anEvent, aReplyEvent, aSuccess, TEST_TERMS } from '../support/store-parts.ts';
import {
  anError,
  dispatchedAt,
  insertOne,
  keepAlive,
  leaseHome,
  readFacts,
  readOne,
  settle,
  typesOf,
} from '../support/store-rows.ts';

const PLENTY = { maxItems: 100, maxBytes: 1_000_000, ofTheDead: true, exceptTopics: [] };

async function claim(store: Store, bootId: string, bounds = PLENTY): Promise<string[]> {
  const rows = await store.claimAbandoned(bootId, bounds);
  return rows.map(({ operationId }) => operationId);
}

describeStores('the outbox', (get, kind) => {
  beforeEach(() => emptyStore(get().database));

  it('gives away what a dead instance had, and remembers that it may have been sent', async () => {
    const { store, database } = get();
    const headers = [
      ['a', '1'],
      ['a', new Uint8Array([0, 255])],
    ] as const;
    const record = { topic: 't', key: new Uint8Array([1]), value: new Uint8Array([2, 0]), headers };
    const parts = { claimedBy: 'dying', record, terms: { ...TEST_TERMS, endsAtAck: true } };
    await keepAlive(store, 'dying');
    const id = await insertOne(store, parts);
    expect(await claim(store, 'heir')).toEqual([]);
    await setDatabaseClock(database, 30_000);
    expect(await claim(store, 'heir')).toEqual([]);
    const later = await insertOne(store, { ...parts, deadlineMs: Date.now() + 300_000 });
    await setDatabaseClock(database, 61_000);
    expect(await store.claimAbandoned('heir', { ...PLENTY, ofTheDead: false })).toEqual([]);
    const claimed = await store.claimAbandoned('heir', PLENTY);
    expect(claimed).toMatchObject([{ operationId: later, record, attempt: 1, endsAtAck: true, maybeSent: true }]);
    expect(await readFacts(database, later)).toMatchObject({ claimed_by: 'heir', maybe_sent: true });
    // Past its deadline: for expiry, not for a worker.
    expect(await readFacts(database, id)).toMatchObject({ claimed_by: 'dying', maybe_sent: false });
  });

  it('gives away what nobody has claimed, also to who gave it back, and knows that it was not sent', async () => {
    const { store, database } = get();
    await keepAlive(store, 'giver');
    const [unsent, sent] = [
      await insertOne(store, { claimedBy: 'giver' }),
      await insertOne(store, { claimedBy: 'giver' }),
    ];
    await store.giveBack('another', [{ operationId: unsent, maybeSent: true }]);
    expect(await readFacts(database, unsent)).toMatchObject({ claimed_by: 'giver', maybe_sent: false });
    await store.giveBack('giver', [
      { operationId: unsent, maybeSent: false },
      { operationId: sent, maybeSent: true },
    ]);
    expect(await claim(store, 'giver')).toEqual([unsent, sent]);
    expect(await readFacts(database, unsent)).toMatchObject({ claimed_by: 'giver', maybe_sent: false });
    expect(await readFacts(database, sent)).toMatchObject({ claimed_by: 'giver', maybe_sent: true });
    await store.giveBack('giver', [{ operationId: sent, maybeSent: false }]);
    expect(await readFacts(database, sent)).toMatchObject({ claimed_by: null, maybe_sent: true });
  });

  it('leaves alone what is published, done, or claimed by the asker itself', async () => {
    const { store } = get();
    const [published, done] = [await insertOne(store), await insertOne(store)];
    await insertOne(store, { claimedBy: 'heir' });
    await settle(store, published, dispatchedAt(1n));
    await settle(store, done, aSuccess(1n));
    expect(await claim(store, 'heir')).toEqual([]);
  });

  it('gives no row to two who ask at the same time', async () => {
    const { store } = get();
    for (const bootId of ['a', 'b', 'c']) await keepAlive(store, bootId);
    const operations = Array.from({ length: 30 }, () => aNewOperation({ claimedBy: 'dead' }));
    await store.insert(operations);
    const claims = await Promise.all(['a', 'b', 'c'].map((bootId) => claim(store, bootId)));
    expect(claims.flat().sort()).toEqual(operations.map(({ id }) => id));
  });

  it('gives away the oldest first, as many as fit, and one however large', async () => {
    const { store } = get();
    const value = (sizeBytes: number) => ({ ...aNewOperation().record, value: Buffer.alloc(sizeBytes) });
    const ids: string[] = [];
    for (const sizeBytes of [10, 10, 1_000, 10]) {
      ids.push(await insertOne(store, { claimedBy: 'dead', record: value(sizeBytes) }));
    }
    expect(await claim(store, 'heir', { maxItems: 1, maxBytes: 100, ofTheDead: true, exceptTopics: [] })).toEqual(
      ids.slice(0, 1),
    );
    expect(await claim(store, 'heir', { maxItems: 10, maxBytes: 10, ofTheDead: true, exceptTopics: [] })).toEqual(
      ids.slice(1, 2),
    );
    expect(await claim(store, 'heir', { maxItems: 10, maxBytes: 10, ofTheDead: true, exceptTopics: [] })).toEqual(
      ids.slice(2, 3),
    );
  });

  it('lists and loads what a boot has claimed and not published', async () => {
    const { store, database } = get();
    const [first, other, published, second] = [
      await insertOne(store, { claimedBy: 'own' }),
      await insertOne(store, { claimedBy: 'another' }),
      await insertOne(store, { claimedBy: 'own' }),
      await insertOne(store, { claimedBy: 'own' }),
    ];
    await settle(store, published, dispatchedAt(1n));
    const list = (minAgeMs: number, limit = 10) => store.listClaimed('own', { minAgeMs, limit });
    expect(await list(60_000)).toEqual([]);
    await setDatabaseClock(database, 61_000);
    expect(await list(60_000)).toEqual([first, second]);
    expect(await list(60_000, 1)).toEqual([first]);
    const loaded = await store.loadClaimed('own', [second, published, other, first]);
    expect(loaded.map(({ operationId }) => operationId)).toEqual([first, second]);
    expect(await store.loadClaimed('own', [])).toEqual([]);
  });

  it('lists an attempt that was made anew by its own age', async () => {
    const { store, database } = get();
    const id = await insertOne(store, { claimedBy: 'own' });
    await settle(store, id, dispatchedAt(1n));
    await setDatabaseClock(database, 61_000);
    const atMs = Date.now() + 61_000;
    await settle(store, id, anEvent('redriven', { by: 'own', afterAttempt: 1, atMs }));
    expect(await store.listClaimed('own', { minAgeMs: 30_000, limit: 10 })).toEqual([]);
    await setDatabaseClock(database, 120_000);
    expect(await store.listClaimed('own', { minAgeMs: 30_000, limit: 10 })).toEqual([id]);
  });

  it('knows after a re-drive from the command line that who had claimed the attempt before may have sent it', async () => {
    const { store, database } = get();
    const claimed = await insertOne(store, { claimedBy: 'sender' });
    const givenBack = await insertOne(store, { claimedBy: 'sender' });
    await store.giveBack('sender', [{ operationId: givenBack, maybeSent: false }]);
    for (const id of [claimed, givenBack]) {
      await settle(store, id, anEvent('redriven', { by: null, afterAttempt: 1 }));
    }
    expect(await readFacts(database, claimed)).toMatchObject({ claimed_by: null, maybe_sent: true });
    expect(await readFacts(database, givenBack)).toMatchObject({ claimed_by: null, maybe_sent: false });
    const cancelled = anEvent('cancelled', { error: anError('not_sent'), by: 'another' });
    for (const id of [claimed, givenBack]) await settle(store, id, cancelled);
    expect((await readOne(store, claimed))?.error?.delivery).toBe('unknown');
    expect((await readOne(store, givenBack))?.error?.delivery).toBe('not_sent');
  });

  it('names the open operations whose replies are asked to a partition', async () => {
    const { store } = get();
    const { partition } = await leaseHome(store);
    const [open, done] = [
      await insertOne(store, { replyPartition: partition }),
      await insertOne(store, { replyPartition: partition }),
    ];
    await insertOne(store, { replyPartition: partition + 1_000 });
    await insertOne(store, { replyPartition: null });
    await settle(store, done, aSuccess(1n));
    expect(await store.listOpenAt(partition, 10)).toEqual([open]);
    expect(await store.listOpenAt(partition, 0)).toEqual([]);
  });

  // ---- ordered operations --------------------------------------------------------------------------------------------

  const ordered = (parts: Partial<NewOperation> = {}, key = 'k') =>
    aNewOperation({
      terms: { ...TEST_TERMS, ordered: true },
      record: { topic: 'orders', key: Buffer.from(key), value: Buffer.from('{}'), headers: [] },
      ...parts,
    });

  const isHeld = (outcome: Inserted | undefined) => outcome?.kind === 'inserted' && outcome.held;

  it('holds an ordered operation behind an unpublished one of its topic and key, whoever has that', async () => {
    const { store, database } = get();
    const [first, second, otherKey] = [ordered(), ordered({ claimedBy: 'boot2' }), ordered({}, 'k2')];
    const unordered = aNewOperation({ record: first.record });
    const outcomes: Inserted[] = [];
    for (const operation of [first, second, otherKey, unordered]) outcomes.push(...(await store.insert([operation])));
    expect(outcomes.map(isHeld)).toEqual([false, true, false, false]);
    expect(await readFacts(database, second.id)).toMatchObject({ claimed_by: null });
    expect(isHeld((await store.insert([first]))[0])).toBe(false);
    expect(isHeld((await store.insert([second]))[0])).toBe(true);
  });

  it('holds none behind one that is published or done', async () => {
    const { store } = get();
    const [first, second, third] = [ordered(), ordered(), ordered()];
    await store.insert([first]);
    await settle(store, first.id, dispatchedAt(1n));
    expect((await store.insert([second])).map(isHeld)).toEqual([false]);
    await settle(store, second.id, anEvent('expired', { error: anError('not_sent'), by: 'boot1' }));
    expect((await store.insert([third])).map(isHeld)).toEqual([false]);
  });

  it('holds the second ordered operation of one insert', async () => {
    const { store } = get();
    expect((await store.insert([ordered(), ordered(), ordered({}, 'k2')])).map(isHeld)).toEqual([false, true, false]);
  });

  it('says of an insert that is repeated what has become of it', async () => {
    const { store } = get();
    const [first, second] = [ordered(), ordered()];
    await store.insert([first, second]);
    await settle(store, first.id, dispatchedAt(1n));
    expect(await claim(store, 'relay')).toEqual([second.id]);
    expect((await store.insert([second])).map(isHeld)).toEqual([true]);
  });

  it('gives away ordered operations one after the other, in the order of their acceptance', async () => {
    const { store } = get();
    await keepAlive(store, 'boot1');
    // Ids against the order: it is that of the inserts.
    const operations = [ordered(), ordered(), ordered()].reverse();
    for (const operation of operations) await store.insert([operation]);
    const [first, second, third] = operations.map(({ id }) => id) as [string, string, string];
    // The first is with a living instance, and the others wait for it all the same.
    expect(await claim(store, 'relay')).toEqual([]);
    await settle(store, first, dispatchedAt(1n));
    expect(await claim(store, 'relay')).toEqual([second]);
    expect(await claim(store, 'relay')).toEqual([]);
    await settle(store, second, aSuccess(1n));
    expect(await claim(store, 'relay')).toEqual([third]);
  });

  it('takes keys of any length for an order', async () => {
    const { store } = get();
    const key = Array.from({ length: 10_000 }, (_, index) => String(index)).join();
    expect((await store.insert([ordered({}, key)])).map(isHeld)).toEqual([false]);
    expect((await store.insert([ordered({}, key)])).map(isHeld)).toEqual([true]);
  });

  // ---- a log that died with its process ------------------------------------------------------------------------------

  it('sends again what an earlier process had on its log where an attempt is left, else ends it', async () => {
    const { store, database } = get();
    const twice = { ...TEST_TERMS, maxAttempts: 2 };
    const parts = { claimedBy: 'earlier' };
    // Only claimed: that log takes a record at once, and that it did is written a moment later.
    const claimedOnly = await insertOne(store, parts);
    const [again, over, unsent, own, done] = [
      await insertOne(store, { ...parts, terms: twice }),
      await insertOne(store, parts),
      await insertOne(store, parts),
      await insertOne(store, { claimedBy: 'now' }),
      await insertOne(store, { ...parts, terms: twice }),
    ];
    // Its reply came before the mark of its ack: it was on the log, though the row has no place for it.
    const replied = await insertOne(store, { ...parts, terms: twice });
    await store.giveBack('earlier', [{ operationId: unsent, maybeSent: false }]);
    await settle(store, again, dispatchedAt(1n), aReplyEvent('progressed', 1n));
    await settle(store, over, dispatchedAt(2n));
    await settle(store, replied, aReplyEvent('acknowledged', 2n));
    await settle(store, done, aSuccess(3n));

    expect(await store.restart('now')).toEqual({ redriven: 2, failed: 2 });

    for (const id of [again, replied]) {
      expect(await readOne(store, id)).toMatchObject({ state: 'accepted', attempt: 2, error: null });
      expect(await readFacts(database, id)).toEqual({ claimed_by: 'now', maybe_sent: true, published_offset: null });
    }
    expect(await typesOf(database, again)).toEqual(['accepted', 'dispatched', 'progressed', 'redriven']);
    const ended = { code: 'CHANNEL_UNAVAILABLE', grpcCode: 'UNAVAILABLE', delivery: 'unknown' };
    for (const id of [over, claimedOnly]) {
      expect(await readOne(store, id)).toMatchObject({ state: 'failed', error: ended });
    }
    expect(await readOne(store, unsent)).toMatchObject({ state: 'accepted', attempt: 1 });
    expect(await readFacts(database, unsent)).toMatchObject({ claimed_by: 'now', maybe_sent: false });
    expect(await readFacts(database, own)).toMatchObject({ claimed_by: 'now', maybe_sent: false });
    expect((await readOne(store, done))?.state).toBe('succeeded');
    expect((await store.listClaimed('now', { minAgeMs: 0, limit: 10 })).toSorted()).toEqual(
      [again, unsent, own, replied].sort(),
    );
    expect(await store.restart('now')).toEqual({ redriven: 0, failed: 0 });
  });

  it('restarts any number of operations, each once', async () => {
    const { store } = get();
    const terms = { ...TEST_TERMS, maxAttempts: 3 };
    const published = { partition: 0, offset: 1n };
    const operations = Array.from({ length: 450 }, () =>
      aNewOperation({ claimedBy: 'earlier', state: 'dispatched', published, maybeSent: true, terms }),
    );
    await store.insert(operations);
    expect(await store.restart('now')).toEqual({ redriven: 450, failed: 0 });
    const attempts = (await store.read(operations.map(({ id }) => id))).map(({ attempt }) => attempt);
    expect(new Set(attempts)).toEqual(new Set([2]));
  });

  it('leaves ordered operations of an earlier process to who publishes them in turn', async () => {
    const { store } = get();
    const [first, second] = [ordered({ claimedBy: 'earlier' }), ordered({ claimedBy: 'earlier' })];
    await store.insert([first, second]);
    await store.giveBack('earlier', [{ operationId: first.id, maybeSent: false }]);
    await store.restart('now');
    expect(await store.listClaimed('now', { minAgeMs: 0, limit: 10 })).toEqual([]);
    expect(await store.claimAbandoned('now', PLENTY)).toMatchObject([{ operationId: first.id, maybeSent: false }]);
  });

  if (kind === 'postgres') {
    it('passes over a row that somebody writes just now, and waits for nobody', async () => {
      const { store, database } = get();
      const [busy, idle] = [
        await insertOne(store, { claimedBy: 'dead' }),
        await insertOne(store, { claimedBy: 'dead' }),
      ];
      await database.transaction(async (tx) => {
        await tx.query('SELECT 1 FROM sluice.operation WHERE id = $1::uuid FOR NO KEY UPDATE', [busy]);
        expect(await claim(store, 'heir')).toEqual([idle]);
      });
      expect(await claim(store, 'heir')).toEqual([busy]);
    });
  }
});
