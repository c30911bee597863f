import { expect, it } from 'vitest';
import { LeaseLostError, type LeaseProof } from '../../src/operations/store-ports.ts';
import { KnownOperations } from '../../src/store/known-operations.ts';
import { OperationInsertStore } from '../../src/store/operation-inserts.ts';
import { decodeRecordHeaders } from '../../src/store/record-headers.ts';
import { describeStores, setDatabaseClock } from '../support/store.ts';
import { aNewOperation, aSuccess, REPLY_TOPIC } from '../support/store-parts.ts';
import { insertAll, insertOne, leaseHome, readOne, settle, typesOf } from '../support/store-rows.ts';

describeStores('inserting operations', (get, kind) => {
  it('answers an insert with what a read gives', async () => {
    const { store } = get();
    const operations = [
      aNewOperation(),
      aNewOperation({ state: 'dispatched', published: { partition: 3, offset: 9_007_199_254_740_993n } }),
      aNewOperation({ state: 'running', progress: { percent: 12.5, message: 'half\u0000way' } }),
    ];
    const inserted = await insertAll(store, operations);
    expect(inserted.map(({ id }) => id)).toEqual(operations.map(({ id }) => id));
    for (const operation of inserted) expect(await readOne(store, operation.id)).toEqual(operation);
  });

  it('knows that nothing is written where the database refuses what it was given', async () => {
    const { store } = get();
    const [good, bad] = [aNewOperation(), aNewOperation({ id: 'none' })];
    await expect(store.insert([good, bad])).rejects.toMatchObject({ certainlyNotWritten: true, refused: true });
    expect(await readOne(store, good.id)).toBeUndefined();
  });

  it('keeps when the last sign of life was, of a call that has waited', async () => {
    const { store } = get();
    const createdAtMs = Date.now();
    const operation = aNewOperation({
      state: 'running',
      createdAtMs,
      updatedAtMs: createdAtMs + 700,
      progress: { percent: 25, message: null },
      published: { partition: 0, offset: 1n },
    });
    const [inserted] = await insertAll(store, [operation, aNewOperation({ createdAtMs })]);
    expect(inserted).toMatchObject({ createdAtMs, updatedAtMs: createdAtMs + 700 });
    expect(await readOne(store, operation.id)).toEqual(inserted);
    const events = await store.readEvents(operation.id, 0, 10);
    expect(events.map(({ event }) => [event.type, event.atMs - createdAtMs])).toEqual([
      ['accepted', 0],
      ['dispatched', 0],
      ['progressed', 700],
    ]);
  });

  it('takes an insert that is repeated for done, and leaves the row as it is by now', async () => {
    const { store, database } = get();
    const [known, fresh] = [aNewOperation(), aNewOperation()];
    await store.insert([known]);
    await settle(store, known.id, aSuccess(1n));
    const again = await insertAll(store, [fresh, known]);
    expect(again.map(({ id, state }) => [id, state])).toEqual([
      [fresh.id, 'accepted'],
      [known.id, 'succeeded'],
    ]);
    expect(await typesOf(database, known.id)).toEqual(['accepted', 'succeeded']);
  });

  it('takes an operation that stands twice in one insert for one', async () => {
    const { store, database } = get();
    const operation = aNewOperation();
    const [one, other] = await insertAll(store, [operation, operation]);
    expect(one).toEqual(other);
    expect(await typesOf(database, operation.id)).toEqual(['accepted']);
  });

  it('numbers the first events of what is inserted past acceptance', async () => {
    const { store, database } = get();
    const published = { partition: 0, offset: 5n };
    const dispatched = await insertOne(store, { state: 'dispatched', published });
    const running = await insertOne(store, { state: 'running', published });
    const overtaken = await insertOne(store, { state: 'running', progress: { percent: 1, message: null } });
    expect(await typesOf(database, dispatched)).toEqual(['accepted', 'dispatched']);
    expect(await typesOf(database, running)).toEqual(['accepted', 'dispatched', 'acknowledged']);
    expect(await typesOf(database, overtaken)).toEqual(['accepted', 'progressed']);
    expect((await readOne(store, running))?.version).toBe(3);
    expect((await readOne(store, overtaken))?.version).toBe(2);
  });

  it('keeps the command record byte for byte, headers that stand twice and binary ones included', async () => {
    const { store, database } = get();
    const headers = [
      ['kafka_replyPartition', '7'],
      ['kafka_replyPartition', new Uint8Array([0, 0, 0, 7])],
      ['nul', 'a\u0000b'],
    ] as const;
    const record = { topic: 't', key: new Uint8Array([0, 255]), value: new Uint8Array([0, 1, 92, 34, 255]), headers };
    const id = await insertOne(store, { record });
    const sql =
      'SELECT record_key AS key, record_value AS value, record_headers AS headers FROM sluice.operation WHERE id = $1::uuid';
    const [row] = await database.query<{ key: Uint8Array; value: Uint8Array; headers: Uint8Array }>(sql, [id]);
    expect(row?.key).toStrictEqual(record.key);
    expect(row?.value).toStrictEqual(record.value);
    expect(decodeRecordHeaders(row!.headers)).toEqual(headers);
  });

  it('promotes while the home lease is held', async () => {
    const { store } = get();
    const [operation, lease] = [aNewOperation({ state: 'running' }), await leaseHome(store)];
    const [promoted] = await store.promote([operation], lease);
    expect(await readOne(store, operation.id)).toEqual(promoted);
  });

  it('promotes nothing without the lease: another fence, taken over, given back', async () => {
    const { store, database } = get();
    const operation = aNewOperation();
    const lease = await leaseHome(store);
    await expect(store.promote([operation], { ...lease, fence: lease.fence - 1n })).rejects.toThrow(LeaseLostError);
    await setDatabaseClock(database, 61_000);
    const claim = { topic: REPLY_TOPIC, partition: lease.partition, home: true, leaseMs: 60_000 };
    const heir = await store.take({ ...claim, bootId: 'heir' });
    await expect(store.promote([operation], lease)).rejects.toThrow(LeaseLostError);
    await store.release(REPLY_TOPIC, 'heir', [lease.partition]);
    await expect(store.promote([operation], heir as LeaseProof)).rejects.toThrow(LeaseLostError);
    await setDatabaseClock(database, 0);
    expect(await readOne(store, operation.id)).toBeUndefined();
  });

  it('promotes under a lease that has run out and that nobody took', async () => {
    const { store, database } = get();
    const [operation, lease] = [aNewOperation(), await leaseHome(store)];
    await setDatabaseClock(database, 61_000);
    expect((await store.promote([operation], lease)).map(({ id }) => id)).toEqual([operation.id]);
    await setDatabaseClock(database, 0);
  });

  it('takes a repeated promotion whose row is there for done, lease or no lease', async () => {
    const { store } = get();
    const [operation, lease] = [aNewOperation(), await leaseHome(store)];
    await store.promote([operation], lease);
    await store.release(REPLY_TOPIC, 'boot1', [lease.partition]);
    expect((await store.promote([operation], lease)).map(({ id }) => id)).toEqual([operation.id]);
  });

  // The embedded database has one session: nobody there can come between.
  if (kind === 'postgres') {
    it('lets no takeover pass a promotion that is not committed, but settling goes on', async () => {
      const { store, database } = get();
      const [settled, operation, lease] = [await insertOne(store), aNewOperation(), await leaseHome(store, 'dying')];
      const claim = { topic: REPLY_TOPIC, partition: lease.partition, bootId: 'heir', home: false, leaseMs: 60_000 };
      await database.transaction(async (tx) => {
        const options = { replyTopic: REPLY_TOPIC, owesEvents: false };
        await new OperationInsertStore(tx, options, new KnownOperations(10)).promote([operation], lease);
        const move = { ...lease, expectedOffset: 100n, nextOffset: 101n };
        await store.commit([{ operationId: settled, events: [aSuccess(1n)] }], move);
        await setDatabaseClock(database, 61_000);
        // Nor does it wait, which would cost beats: it looks again.
        expect(await store.take(claim)).toBeNull();
      });
      expect(await store.take(claim)).toMatchObject({ owner: 'heir', fence: lease.fence + 1n, nextOffset: 101n });
      await setDatabaseClock(database, 0);
      expect(await readOne(store, operation.id)).toBeDefined();
    });
  }
});
