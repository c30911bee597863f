import { beforeEach, expect, it } from 'vitest';
import { describeStores, emptyStore, setDatabaseClock } from '../support/store.ts';
import { aNewOperation, anEvent, aReplyEvent, aSuccess, openStoreOn } from '../support/store-parts.ts';
import { anError, dispatchedAt, insertOne, leaseHome, readOne, settle } from '../support/store-rows.ts';

const idsOf = (operations: readonly { readonly id: string }[]) => operations.map(({ id }) => id);

describeStores('records that operations owe', (get) => {
  beforeEach(() => emptyStore(get().database));

  it('are dead letters of those that expired in doubt: the command, why, and what had happened', async () => {
    const { store } = get();
    const headers = [['ce_id', 'x']] as const;
    const record = { topic: 't', key: new Uint8Array([1]), value: new Uint8Array([0, 255]), headers };
    const id = await insertOne(store, { record });
    await settle(store, id, dispatchedAt(1n), anEvent('expired', { error: anError('unknown') }));
    const unsent = await insertOne(store);
    await settle(store, unsent, anEvent('expired', { error: anError('not_sent'), by: 'boot1' }));
    const failed = await insertOne(store);
    await settle(store, failed, anEvent('failed', { error: anError('unknown') }));
    const owed = await store.listOwedDeadLetters(10);
    expect(owed).toEqual([{ operation: await readOne(store, id), record, history: await store.readEvents(id, 0, 10) }]);
    expect(owed[0]?.history.map(({ event }) => event.type)).toEqual(['accepted', 'dispatched', 'expired']);
    await store.clearDeadLetters([id, failed]);
    expect(await store.listOwedDeadLetters(10)).toEqual([]);
  });

  it('are cancellations of what a worker may have or may yet get, once they are old enough', async () => {
    const { store, database } = get();
    const cancelled = (delivery: 'unknown' | 'not_sent', by: string | null = null) =>
      anEvent('cancelled', { error: { ...anError(delivery), code: 'OPERATION_CANCELLED' }, by });
    const [sent, claimed, unsent, unclaimed, succeeded] = [
      await insertOne(store),
      await insertOne(store),
      await insertOne(store),
      await insertOne(store),
      await insertOne(store),
    ];
    await settle(store, sent, dispatchedAt(1n), cancelled('unknown'));
    await settle(store, claimed, cancelled('unknown'));
    await settle(store, unsent, cancelled('not_sent', 'boot1'));
    await store.giveBack('boot1', [{ operationId: unclaimed, maybeSent: false }]);
    await settle(store, unclaimed, cancelled('unknown'));
    await settle(store, succeeded, aSuccess(1n), cancelled('unknown'));
    const list = (minAgeMs: number, limit = 10) => store.listOwedCancellations({ minAgeMs, limit });
    expect(await list(60_000)).toEqual([]);
    await setDatabaseClock(database, 61_000);
    expect(idsOf(await list(60_000))).toEqual([sent, claimed]);
    expect(idsOf(await list(60_000, 1))).toEqual([sent]);
    await store.clearCancellations([sent]);
    expect(idsOf(await list(0))).toEqual([claimed]);
  });

  it('are events only where lifecycle events are switched on, all of them and in order', async () => {
    const { store, database } = get();
    const telling = openStoreOn(database, { lifecycleEvents: true });
    await settle(store, await insertOne(store), aSuccess(1n));
    expect(await telling.listOwedEvents(10)).toEqual({ events: [], hasMore: false });

    const [first, second] = [aNewOperation(), aNewOperation({ state: 'running' })];
    await telling.insert([first]);
    const lease = await leaseHome(telling);
    await telling.promote([second], lease);
    await settle(telling, first.id, aReplyEvent('progressed', 2n), aSuccess(3n));
    const { events: owed, hasMore } = await telling.listOwedEvents(5);
    expect(hasMore).toBe(false);
    expect(owed.map(({ operationId, number, event }) => [operationId, number, event.type])).toEqual([
      [first.id, 1, 'accepted'],
      [first.id, 2, 'progressed'],
      [first.id, 3, 'succeeded'],
      [second.id, 1, 'accepted'],
      [second.id, 2, 'acknowledged'],
    ]);
    const [third] = await telling.readEvents(first.id, 2, 1);
    const { event } = third!;
    // No lifecycle event shows a payload, so none is read.
    const withoutBytes = { ...third, event: { ...event, result: { ...event.result, value: null } } };
    expect(owed[2]).toEqual({ ...withoutBytes, operationId: first.id, command: first.command });

    await telling.clearEvents([
      { operationId: first.id, number: 1 },
      { operationId: first.id, number: 3 },
    ]);
    const left = await telling.listOwedEvents(2);
    expect(left.events.map(({ operationId, number }) => [operationId, number])).toEqual([
      [first.id, 2],
      [second.id, 1],
    ]);
    expect(left.hasMore).toBe(true);
  });

  it('are events of which no more bytes are read at once than the bound allows, but one at least', async () => {
    const { database } = get();
    const telling = openStoreOn(database, { lifecycleEvents: true, maxPageBytes: 25_000 });
    for (const length of [10_000, 90_000, 10_000]) {
      const id = await insertOne(telling);
      await settle(telling, id, anEvent('failed', { error: { ...anError('failed'), details: 'x'.repeat(length) } }));
    }
    const batches: string[] = [];
    for (let goesOn = true; goesOn; ) {
      const { events, hasMore } = await telling.listOwedEvents(100);
      batches.push(events.map(({ event }) => event.type).join(' '));
      await telling.clearEvents(events);
      goesOn = hasMore;
    }
    expect(batches).toEqual(['accepted failed accepted', 'failed', 'accepted failed']);
  });
});
