// Settling on rows as they were written last: what somebody else did to them meanwhile is seen all the same.
import { expect, it } from 'vitest';
import { LeaseLostError } from '../../src/operations/store-ports.ts';
import type { Database } from '../../src/store/database.ts';
import { newOperationId } from '../support/operations.ts';
import { describeStores } from '../support/store.ts';
import { aNewOperation, anEvent, aReplyEvent, aSuccess, openStoreOn } from '../support/store-parts.ts';
import { anError, insertOne, leaseHome, positionOf, readOne, settle, typesOf } from '../support/store-rows.ts';

const cancelled = () => anEvent('cancelled', { error: anError('unknown') });

describeStores('changing operations that are remembered', (get, kind) => {
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

  it.each([
    { sender: 'nobody else', maybeSent: false, delivery: 'not_sent' },
    { sender: 'another instance', maybeSent: true, delivery: 'unknown' },
  ] as const)('believes the row about who may have sent a command: $sender', async ({ maybeSent, delivery }) => {
    const { store, database } = get();
    const idempotency = { key: newOperationId(), fingerprint: new Uint8Array(32) };
    const id = await insertOne(store, { idempotency });
    await database.query('UPDATE sluice.operation SET maybe_sent = $2::bool WHERE id = $1::uuid', [id, maybeSent]);
    await settle(store, id, anEvent('failed', { error: anError('not_sent'), by: 'boot1' }));
    expect((await readOne(store, id))?.error).toMatchObject({ delivery });
    // The key is free where the command reaches nobody.
    const [again] = await store.insert([aNewOperation({ idempotency })]);
    expect(again?.kind).toBe(delivery === 'not_sent' ? 'inserted' : 'key_taken');
  });

  it('writes over no end, whatever version it has', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    await settle(store, id, aReplyEvent('progressed', 1n));
    await settle(openStoreOn(database), id, cancelled());
    // As after a failover that lost a commit: another history of as many events.
    await database.query('UPDATE sluice.operation SET version = 2 WHERE id = $1::uuid', [id]);
    await settle(store, id, aSuccess(2n)).catch(() => undefined);
    expect(await readOne(store, id)).toMatchObject({ state: 'cancelled' });
  });

  it('takes turns with a change of the same operation that is under way, and fails on none', async () => {
    const { database } = get();
    const failures: string[] = [];
    const watched: Database = {
      ...bindDatabase(database),
      query: <Row>(sql: string, params: readonly unknown[]) =>
        database.query<Row>(sql, params).catch((error) => {
          failures.push(String(error));
          throw error;
        }),
    };
    const store = openStoreOn(watched);
    const ids = await Promise.all(Array.from({ length: 20 }, () => insertOne(store)));
    const progress = (from: number) =>
      store.commit(
        ids.map((operationId, index) => ({ operationId, events: [aReplyEvent('progressed', BigInt(from + index))] })),
        null,
      );
    await Promise.all([progress(0), progress(100), progress(200)]);
    expect(failures).toEqual([]);
    for (const operation of await store.read(ids)) expect(operation.version).toBe(4);
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

  // The embedded database has one session: there nobody meets anybody.
  if (kind === 'postgres') {
    it('meets those who lock in the order in which they lock: no deadlock', async () => {
      const { store, database } = get();
      const other = openStoreOn(database, { knownOperations: 0 });
      const before = await countDeadlocks(database);
      for (let round = 0; round < 10; round++) {
        const operations = Array.from({ length: 100 }, () => aNewOperation());
        // On their pages in another order than that of their ids.
        for (const operation of [...operations].reverse()) await store.insert([operation]);
        const at = (from: number) =>
          operations.map(({ id }, index) => ({
            operationId: id,
            events: [aReplyEvent('progressed', BigInt(from + index))],
          }));
        await Promise.all([store.commit(at(0), null), other.commit(at(1000), null)]);
      }
      expect(await countDeadlocks(database)).toBe(before);
    });
  }
});

async function countDeadlocks(database: Database): Promise<number> {
  await database.query('SELECT pg_stat_force_next_flush()', []);
  const sql = 'SELECT deadlocks::int AS count FROM pg_stat_database WHERE datname = current_database()';
  const [row] = await database.query<{ count: number }>(sql, []);
  return row!.count;
}

/** Its methods, to be put into another object. */
function bindDatabase(database: Database): Database {
  return {
    query: (sql, params) => database.query(sql, params),
    execute: (script) => database.execute(script),
    transaction: (run, options) => database.transaction(run, options),
    health: () => database.health(),
    close: () => database.close(),
  };
}
