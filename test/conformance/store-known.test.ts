// Settling on rows as they were written last: what somebody else did to them meanwhile is seen all the same.
import { expect, it } from 'vitest';
import { LeaseLostError } from '../../src/operations/ports.ts';
import { describeStores } from '../support/store.ts';
import { aNewOperation, anEvent, aReplyEvent, aSuccess, openStoreOn } from '../support/store-parts.ts';
import { anError, insertOne, leaseHome, positionOf, readOne, settle, typesOf } from '../support/store-rows.ts';

const cancelled = () => anEvent('cancelled', { error: anError('unknown') });

describeStores('changing operations that are remembered', (get) => {
  it('settles the batch as the rows are, where another instance has ended one of them', async () => {
    const { store, database } = get();
    const lease = await leaseHome(store);
    const ids = await Promise.all(Array.from({ length: 5 }, () => insertOne(store)));
    await settle(openStoreOn(database), ids[2]!, cancelled());
    const changes = ids.map((operationId, index) => ({ operationId, events: [aSuccess(BigInt(100 + index))] }));
    const { operations, missing } = await store.commit(changes, { ...lease, expectedOffset: 100n, nextOffset: 105n });
    expect(missing).toEqual([]);
    for (const operation of operations) expect(await readOne(store, operation.id)).toEqual(operation);
    const states = new Map(operations.map(({ id, state }) => [id, state]));
    expect(ids.map((id) => states.get(id))).toEqual(['succeeded', 'succeeded', 'cancelled', 'succeeded', 'succeeded']);
    expect(await typesOf(database, ids[2]!)).toEqual(['accepted', 'cancelled', 'succeeded']);
    expect(await typesOf(database, ids[0]!)).toEqual(['accepted', 'succeeded']);
    expect(await positionOf(store, lease.partition)).toBe(105n);
  });

  it('settles a reply once that another instance has settled', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    const progress = aReplyEvent('progressed', 7n, { progress: { percent: 5, message: null } });
    await settle(openStoreOn(database), id, progress);
    await settle(store, id, progress, aSuccess(8n));
    expect(await typesOf(database, id)).toEqual(['accepted', 'progressed', 'succeeded']);
  });

  it('settles a reply once that it has settled itself, and remembers', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    const progress = aReplyEvent('progressed', 7n, { progress: { percent: 5, message: null } });
    await settle(store, id, progress);
    await settle(store, id, progress, progress, aReplyEvent('progressed', 8n));
    expect(await typesOf(database, id)).toEqual(['accepted', 'progressed', 'progressed']);
    expect(await readOne(store, id)).toMatchObject({ state: 'running', version: 3, progress: { percent: 5 } });
  });

  it('writes nothing where the lease was taken over', async () => {
    const { store, database } = get();
    const [id, lease] = [await insertOne(store), await leaseHome(store)];
    const moves = [
      { ...lease, fence: lease.fence - 1n, expectedOffset: 100n, nextOffset: 101n },
      { ...lease, expectedOffset: 99n, nextOffset: 101n },
    ];
    for (const move of moves) {
      const settling = store.commit([{ operationId: id, events: [aSuccess(100n)] }], move);
      await expect(settling).rejects.toThrow(LeaseLostError);
      expect(await typesOf(database, id)).toEqual(['accepted']);
    }
    expect(await positionOf(store, lease.partition)).toBe(100n);
    const move = { ...lease, expectedOffset: 100n, nextOffset: 101n };
    await store.commit([{ operationId: id, events: [aSuccess(100n)] }], move);
    expect(await readOne(store, id)).toMatchObject({ state: 'succeeded' });
  });

  it('passes what was purged meanwhile', async () => {
    const { store, database } = get();
    const lease = await leaseHome(store);
    const [gone, here] = [await insertOne(store), await insertOne(store)];
    await database.query('DELETE FROM sluice.operation WHERE id = $1::uuid', [gone]);
    const changes = [gone, here].map((operationId, index) => ({
      operationId,
      events: [aSuccess(BigInt(100 + index))],
    }));
    const { operations, missing } = await store.commit(changes, { ...lease, expectedOffset: 100n, nextOffset: 102n });
    expect(missing).toEqual([gone]);
    expect(operations.map(({ id, state }) => [id, state])).toEqual([[here, 'succeeded']]);
  });

  it('believes the row about who may have sent a command, not what it remembers', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    // Another instance took the claim over: the first one may have sent the command.
    await openStoreOn(database).giveBack('boot1', [{ operationId: id, maybeSent: true }]);
    await settle(store, id, anEvent('failed', { error: anError('not_sent'), by: 'boot1' }));
    expect((await readOne(store, id))?.error).toMatchObject({ delivery: 'unknown' });
  });

  it('has the same end with room for few, one and none', async () => {
    const { database } = get();
    for (const knownOperations of [3, 1, 0]) {
      const store = openStoreOn(database, { knownOperations });
      const operations = Array.from({ length: 5 }, () => aNewOperation());
      await store.insert(operations);
      await store.commit(
        operations.map(({ id }, index) => ({ operationId: id, events: [aSuccess(BigInt(index))] })),
        null,
      );
      for (const { id } of operations) expect(await typesOf(database, id)).toEqual(['accepted', 'succeeded']);
    }
  });

  it('ends two instances that settle the same replies at the same time with one settlement each', async () => {
    const { store, database } = get();
    const other = openStoreOn(database);
    for (let round = 0; round < 10; round++) {
      const ids = await Promise.all(Array.from({ length: 20 }, () => insertOne(store)));
      const changes = ids.map((operationId, index) => ({ operationId, events: [aSuccess(BigInt(index))] }));
      await Promise.all([store.commit(changes, null), other.commit([...changes].reverse(), null)]);
      for (const id of ids) expect(await typesOf(database, id)).toEqual(['accepted', 'succeeded']);
    }
  });
});
