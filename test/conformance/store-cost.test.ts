// What the hot path may cost the database: counted, not measured.
import { expect, it } from 'vitest';
import type { Database, Transaction } from '../../src/store/database.ts';
import { describeStores } from '../support/store.ts';
import { aNewOperation, anEvent, aReplyEvent, aSuccess, openStoreOn, TEST_TERMS } from '../support/store-parts.ts';
import { dispatchedAt, insertOne, leaseHome, settle } from '../support/store-rows.ts';

/** A database that counts what is asked of it outside and inside of transactions. */
function countRoundTrips(database: Database) {
  const count = { statements: 0, finishes: 0, transactions: 0 };
  const counting = (tx: Transaction): Transaction => ({
    query: (sql, params) => {
      count.statements += 1;
      return tx.query(sql, params);
    },
    execute: (script) => tx.execute(script),
    finish: (statements) => {
      count.finishes += 1;
      count.statements += statements.length;
      return tx.finish(statements);
    },
  });
  const counted: Database = {
    query: (sql, params) => {
      count.statements += 1;
      return database.query(sql, params);
    },
    execute: (script) => database.execute(script),
    transaction: (run, options) => {
      count.transactions += 1;
      return database.transaction((tx) => run(counting(tx)), options);
    },
    health: () => database.health(),
    close: () => database.close(),
  };
  return { counted, count };
}

/** A database all of whose transactions are this one. */
function runInside(tx: Transaction): Database {
  const inside: Transaction = {
    query: (sql, params) => tx.query(sql, params),
    execute: (script) => tx.execute(script),
    finish: async (statements) => {
      for (const { sql, params } of statements) await tx.query(sql, params);
    },
  };
  return { ...inside, transaction: (body) => body(inside), health: () => null, close: async () => undefined };
}

/** Scans of whole tables by this session. */
async function readScans(tx: Transaction): Promise<number> {
  const sql = `SELECT sum(pg_stat_get_xact_numscans(t::regclass))::int AS scans
    FROM unnest(ARRAY['sluice.operation', 'sluice.operation_event']) AS t`;
  const [row] = await tx.query<{ scans: number }>(sql, []);
  return row!.scans;
}

/** Runs everything of a store in one transaction, and says how many updates touched no index. */
async function countHotUpdates(database: Database, run: (store: ReturnType<typeof openStoreOn>) => Promise<unknown>) {
  return database.transaction(async (tx) => {
    // A session's counts go on from one transaction to the next.
    const before = await readUpdates(tx);
    await run(openStoreOn(runInside(tx)));
    const after = await readUpdates(tx);
    return { updated: after.updated - before.updated, hot: after.hot - before.hot };
  });
}

async function readUpdates(tx: Transaction): Promise<{ updated: number; hot: number }> {
  const sql = `SELECT pg_stat_get_xact_tuples_updated('sluice.operation'::regclass)::int AS updated,
    pg_stat_get_xact_tuples_hot_updated('sluice.operation'::regclass)::int AS hot`;
  const [row] = await tx.query<{ updated: number; hot: number }>(sql, []);
  return row!;
}

describeStores('the cost of the hot path', (get) => {
  it('is one statement a batch of accepts, and one a batch of their replies', async () => {
    const { database } = get();
    const { counted, count } = countRoundTrips(database);
    const store = openStoreOn(counted);
    const lease = await leaseHome(store);
    const operations = Array.from({ length: 50 }, () => aNewOperation());
    Object.assign(count, { statements: 0, finishes: 0, transactions: 0 });
    await store.insert(operations);
    expect(count).toEqual({ transactions: 0, statements: 1, finishes: 0 });
    const changes = operations.map(({ id }, index) => ({ operationId: id, events: [aSuccess(BigInt(index))] }));
    await store.commit(changes, { ...lease, expectedOffset: 100n, nextOffset: 150n });
    expect(count).toEqual({ transactions: 0, statements: 2, finishes: 0 });
  });

  it('is one transaction of two statements a batch of replies to operations of others', async () => {
    const { store, database } = get();
    const lease = await leaseHome(store);
    const ids = await Promise.all(Array.from({ length: 50 }, () => insertOne(store)));
    const { counted, count } = countRoundTrips(database);
    const changes = ids.map((operationId, index) => ({ operationId, events: [aSuccess(BigInt(index))] }));
    await openStoreOn(counted).commit(changes, { ...lease, expectedOffset: 100n, nextOffset: 150n });
    expect(count).toEqual({ transactions: 1, statements: 2, finishes: 1 });
  });

  it('is no scan of a table, also by plans that were made while it was empty', async () => {
    const { database } = get();
    const scans = await database.transaction(async (tx) => {
      const store = openStoreOn(runInside(tx));
      const lease = await leaseHome(store);
      const run = async (count: number, from: bigint) => {
        const operations = Array.from({ length: count }, () => aNewOperation());
        await store.insert(operations);
        const changes = operations.map(({ id }, place) => ({
          operationId: id,
          events: [aSuccess(from + BigInt(place))],
        }));
        const half = count / 2;
        const middle = from + BigInt(half);
        await store.commit(changes.slice(0, half), { ...lease, expectedOffset: from, nextOffset: middle });
        const others = openStoreOn(runInside(tx));
        const nextOffset = from + BigInt(count);
        await others.commit(changes.slice(half), { ...lease, expectedOffset: middle, nextOffset });
      };
      await run(2, 100n);
      const before = await readScans(tx);
      await run(400, 102n);
      const after = await readScans(tx);
      // The measure itself.
      await tx.query('SELECT count(*) FROM sluice.operation WHERE command <> $1::text', ['none']);
      expect(await readScans(tx)).toBeGreaterThan(after);
      return after - before;
    });
    expect(scans).toBe(0);
  });

  it('is no write where nothing has changed', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    await settle(store, id, aSuccess(1n));
    const { counted, count } = countRoundTrips(database);
    await settle(openStoreOn(counted), id, dispatchedAt(1n, { afterAttempt: 1 }));
    await settle(openStoreOn(counted), id, aSuccess(1n));
    expect(count).toEqual({ transactions: 2, statements: 2, finishes: 0 });
  });

  it('is no index touched by a sign of life, whatever the terms', async () => {
    const { store, database } = get();
    const terms = { ...TEST_TERMS, maxAttempts: 3, redeliverAfterMs: 1_000, ordered: true };
    const id = await insertOne(store, { terms, idempotency: { key: 'k', fingerprint: new Uint8Array(32) } });
    await settle(store, id, dispatchedAt(1n));
    const progress = (percent: number) => ({ progress: { percent, message: 'working' } });
    const hot = await countHotUpdates(database, async (inside) => {
      await settle(inside, id, aReplyEvent('acknowledged', 2n));
      await settle(inside, id, aReplyEvent('progressed', 3n, progress(1)));
      await settle(inside, id, aReplyEvent('progressed', 4n, progress(2)));
    });
    expect(hot).toEqual({ updated: 3, hot: 3 });
    // The measure itself: a re-drive touches indexes.
    const cold = await countHotUpdates(database, (inside) =>
      settle(inside, id, anEvent('redriven', { by: 'boot1', afterAttempt: 1 })),
    );
    expect(cold.hot).toBeLessThan(cold.updated);
  });

  it('is a look at one other ordered command, however many of other keys wait', async () => {
    const { database } = get();
    const read = await database.transaction(async (tx) => {
      const store = openStoreOn(runInside(tx));
      const ordered = (key: string) => {
        const one = aNewOperation({ terms: { ...TEST_TERMS, ordered: true } });
        return { ...one, record: { ...one.record, key: Buffer.from(key) } };
      };
      await store.insert([ordered('first')]);
      await store.insert(Array.from({ length: 300 }, (_, place) => ordered(`key ${place}`)));
      const before = await readOrdered(tx);
      await store.insert([ordered('last'), ordered('first')]);
      return (await readOrdered(tx)) - before;
    });
    expect(read).toBe(1);
  });
});

/** Entries of the index of ordered commands that this session has read. */
async function readOrdered(tx: Transaction): Promise<number> {
  const sql = `SELECT pg_stat_get_xact_tuples_returned('sluice.operation_ordered'::regclass)::int AS count`;
  const [row] = await tx.query<{ count: number }>(sql, []);
  return row!.count;
}
