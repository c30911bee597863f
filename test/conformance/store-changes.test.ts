import { expect, it } from 'vitest';
import { type Fold, LeaseLostError } from '../../src/operations/store-ports.ts';
import { newOperationId } from '../support/operations.ts';
import { describeStores } from '../support/store.ts';
import {
  aNewOperation,
  anEvent,
  aReplyEvent,
  aSuccess,
  openStoreOn,
  RETENTION_MS,
  testStoreDeps,
} from '../support/store-parts.ts';
import { insertOne, leaseHome, positionOf, readEvents, readOne, settle, typesOf } from '../support/store-rows.ts';

describeStores('changing operations', (get) => {
  it('numbers events of each operation on its own', async () => {
    const { store, database } = get();
    const [one, other] = [await insertOne(store), await insertOne(store)];
    const { operations } = await store.commit(
      [
        { operationId: one, events: [anEvent('dispatched', { published: { partition: 0, offset: 1n } })] },
        { operationId: other, events: [aReplyEvent('acknowledged', 10n)] },
        { operationId: one, events: [aReplyEvent('progressed', 11n), aSuccess(12n)] },
      ],
      null,
    );
    expect(operations).toHaveLength(2);
    expect(await readEvents(database, one)).toEqual(
      ['accepted', 'dispatched', 'progressed', 'succeeded'].map((type, index) => ({
        number: index + 1,
        type,
        late: false,
      })),
    );
    expect(await typesOf(database, other)).toEqual(['accepted', 'acknowledged']);
    for (const operation of operations) expect(await readOne(store, operation.id)).toEqual(operation);
  });

  it('keeps result and error as the worker gave them', async () => {
    const { store } = get();
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const succeeded = await insertOne(store);
    const empty = await insertOne(store);
    const failed = await insertOne(store);
    const error = {
      code: 'COMMAND_FAILED',
      grpcCode: 'NOT_FOUND',
      message: 'no\u0000ne',
      details: { deep: ['\u0000', '\ud800', null] },
      delivery: 'failed',
    } as const;
    const event = aSuccess(1n, bytes);
    await settle(store, succeeded, event);
    await settle(store, empty, aSuccess(2n, null));
    await settle(store, failed, aReplyEvent('failed', 3n, { error }));
    expect(await readOne(store, succeeded)).toMatchObject({ state: 'succeeded', result: event.result, error: null });
    expect((await readOne(store, empty))?.result).toMatchObject({ value: null, httpStatus: 201 });
    expect(await readOne(store, failed)).toMatchObject({
      state: 'failed',
      result: null,
      error: { ...error, message: 'none' },
    });
  });

  it('keeps a finished operation for its retention, counted from its settlement', async () => {
    const { store } = get();
    const id = await insertOne(store);
    const event = aSuccess(1n);
    await settle(store, id, event);
    expect((await readOne(store, id))?.retainedUntilMs).toBe(event.atMs + RETENTION_MS);
  });

  it('lets the first end stand, and keeps a later one as late', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    await settle(store, id, aSuccess(1n));
    const before = await readOne(store, id);
    const error = {
      code: 'COMMAND_FAILED',
      grpcCode: 'ABORTED',
      message: 'x',
      details: null,
      delivery: 'failed',
    } as const;
    await settle(store, id, aReplyEvent('failed', 2n, { error }));
    expect(await readOne(store, id)).toEqual({ ...before, version: 3 });
    expect((await readEvents(database, id)).at(-1)).toEqual({ number: 3, type: 'failed', late: true });
  });

  it('caps late events at 16 and counts the rest', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    await settle(store, id, aSuccess(1n));
    for (let offset = 2n; offset < 22n; offset++) await settle(store, id, aSuccess(offset));
    expect(await readEvents(database, id)).toHaveLength(2 + 16);
    const rows = await database.query('SELECT late_events AS late FROM sluice.operation WHERE id = $1::uuid', [id]);
    expect(rows).toEqual([{ late: 20 }]);
  });

  it('folds a reply once, however often it is read', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    const first = aReplyEvent('progressed', 1n, { progress: { percent: 10, message: null } });
    const second = aReplyEvent('progressed', 2n, { progress: { percent: 20, message: null } });
    await settle(store, id, first, first, second);
    await settle(store, id, first);
    expect(await readOne(store, id)).toMatchObject({ version: 3, progress: { percent: 20 } });
    expect(await typesOf(database, id)).toEqual(['accepted', 'progressed', 'progressed']);
  });

  it('folds a reply once where two transactions bring it at the same time', async () => {
    const { store, database } = get();
    const ids = await Promise.all(Array.from({ length: 5 }, () => insertOne(store)));
    const changes = ids.map((operationId) => ({ operationId, events: [aReplyEvent('progressed', 1n)] }));
    await Promise.all(Array.from({ length: 4 }, () => store.commit(changes, null)));
    for (const id of ids) expect(await typesOf(database, id)).toEqual(['accepted', 'progressed']);
  });

  it('keeps apart replies of equal offset on different partitions', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    await settle(store, id, aReplyEvent('progressed', 1n), aReplyEvent('progressed', 1n, { partition: 1 }));
    expect(await typesOf(database, id)).toEqual(['accepted', 'progressed', 'progressed']);
  });

  it('names the ids that have no row', async () => {
    const { store } = get();
    const [known, unknown] = [await insertOne(store), newOperationId()];
    const changes = [unknown, known].map((operationId) => ({ operationId, events: [aReplyEvent('acknowledged', 1n)] }));
    const outcome = await store.commit(changes, null);
    expect(outcome.missing).toEqual([unknown]);
    expect(outcome.operations.map(({ id }) => id)).toEqual([known]);
  });

  it('remembers where the record stands, also when the reply overtook its ack', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    await settle(store, id, aReplyEvent('acknowledged', 1n));
    await settle(store, id, anEvent('dispatched', { published: { partition: 4, offset: 44n } }));
    const sql = `SELECT published_partition AS partition, published_offset AS log_offset, maybe_sent AS sent
      FROM sluice.operation WHERE id = $1::uuid`;
    expect(await database.query(sql, [id])).toEqual([{ partition: 4, log_offset: 44n, sent: true }]);
  });

  it('moves the read position with what it settles', async () => {
    const { store } = get();
    const [id, lease] = [await insertOne(store), await leaseHome(store)];
    const events = [aSuccess(104n, null)];
    await store.commit([{ operationId: id, events }], { ...lease, expectedOffset: 100n, nextOffset: 105n });
    expect(await positionOf(store, lease.partition)).toBe(105n);
    await store.commit([], { ...lease, expectedOffset: 105n, nextOffset: 109n });
    expect(await positionOf(store, lease.partition)).toBe(109n);
    expect((await readOne(store, id))?.state).toBe('succeeded');
  });

  it.each([
    ['another fence', { fence: 99n }],
    ['another position', { expectedOffset: 101n }],
  ])('writes nothing where the lease has %s', async (_, wrong) => {
    const { store, database } = get();
    const [id, lease] = [await insertOne(store), await leaseHome(store)];
    const move = { ...lease, expectedOffset: 100n, nextOffset: 105n, ...wrong };
    const committed = store.commit([{ operationId: id, events: [aSuccess(104n)] }], move);
    await expect(committed).rejects.toThrow(LeaseLostError);
    expect(await typesOf(database, id)).toEqual(['accepted']);
    expect(await positionOf(store, lease.partition)).toBe(100n);
  });

  it('does not move the read position where settling fails', async () => {
    const { store, database } = get();
    const [id, lease] = [await insertOne(store), await leaseHome(store)];
    const fold: Fold = () => {
      throw new Error('cannot fold');
    };
    const broken = openStoreOn(database, {}, { ...testStoreDeps, fold });
    const move = { ...lease, expectedOffset: 100n, nextOffset: 105n };
    await expect(broken.commit([{ operationId: id, events: [aSuccess(1n)] }], move)).rejects.toThrow('cannot fold');
    expect(await positionOf(store, lease.partition)).toBe(100n);
  });

  it('ends changes of the same operations in opposite order at the same time', async () => {
    const { store } = get();
    const ids = await Promise.all(Array.from({ length: 20 }, () => insertOne(store)));
    let offset = 1_000n;
    const commit = (order: string[]) =>
      store.commit(
        order.map((operationId) => ({ operationId, events: [aReplyEvent('progressed', offset++)] })),
        null,
      );
    await Promise.all(Array.from({ length: 10 }, (_, turn) => commit(turn % 2 ? ids : [...ids].reverse())));
    for (const operation of await store.read(ids)) expect(operation.version).toBe(11);
  });

  it('does a large batch whole', async () => {
    const { store } = get();
    const lease = await leaseHome(store);
    const operations = Array.from({ length: 500 }, () => aNewOperation());
    await store.insert(operations);
    const changes = operations.map(({ id }, index) => ({ operationId: id, events: [aSuccess(BigInt(100 + index))] }));
    const outcome = await store.commit(changes, { ...lease, expectedOffset: 100n, nextOffset: 600n });
    expect(outcome.operations.filter(({ state }) => state === 'succeeded')).toHaveLength(500);
  });
});
