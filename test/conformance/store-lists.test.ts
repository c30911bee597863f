import { expect, it } from 'vitest';
import type { OperationEvent } from '../../src/operations/store-ports.ts';
import { describeStores } from '../support/store.ts';
import { aNewOperation, anEvent, aSuccess, openStoreOn } from '../support/store-parts.ts';
import { anError, insertOne, settle } from '../support/store-rows.ts';

describeStores('listing operations', (get) => {
  it('lists the operations of a principal, newest first, page by page', async () => {
    const { store } = get();
    const operations = Array.from({ length: 7 }, () => aNewOperation({ principal: 'lister' }));
    await store.insert([...operations, aNewOperation({ principal: 'other' })]);
    const newestFirst = operations.map(({ id }) => id).reverse();
    const query = { principal: 'lister', command: null, state: null, limit: 3 };
    const seen: string[] = [];
    for (let beforeId: string | null = null; ; ) {
      const { operations: page, hasMore } = await store.list({ ...query, beforeId });
      expect(page.length).toBeLessThanOrEqual(3);
      seen.push(...page.map(({ id }) => id));
      if (!hasMore) break;
      beforeId = seen.at(-1)!;
    }
    expect(seen).toEqual(newestFirst);
    const whole = await store.list({ ...query, limit: 7, beforeId: null });
    expect([whole.operations.length, whole.hasMore]).toEqual([7, false]);
    const behind = await store.list({ ...query, beforeId: newestFirst.at(-1)! });
    expect(behind).toEqual({ operations: [], hasMore: false });
  });

  it.each<[string, (text: string) => OperationEvent]>([
    ['results', (text) => aSuccess(1n, new TextEncoder().encode(text))],
    ['errors', (details) => anEvent('failed', { error: { ...anError('failed'), details } })],
  ])('reads no more of large %s at once than the bound allows, but one at least', async (name, end) => {
    const { store, database } = get();
    const bounded = openStoreOn(database, { maxPageBytes: 25_000 });
    const principal = `reader of ${name}`;
    const ids: string[] = [];
    // The newest come first: one that is over the bound by itself, and the pages before and behind it.
    for (const length of [10_000, 10_000, 0, 90_000, 10_000, 10_000, 10_000]) {
      const id = await insertOne(store, { principal });
      await settle(store, id, end('x'.repeat(length)));
      ids.push(id);
    }
    const newestFirst = ids.toReversed();
    const pages: string[][] = [];
    for (let beforeId: string | null = null; ; ) {
      const query = { principal, command: null, state: null, beforeId, limit: 100 };
      const { operations, hasMore } = await bounded.list(query);
      expect(operations).toEqual((await store.list(query)).operations.slice(0, operations.length));
      pages.push(operations.map(({ id }) => id));
      if (!hasMore) break;
      beforeId = pages.at(-1)!.at(-1)!;
    }
    expect(pages.flat()).toEqual(newestFirst);
    expect(pages.map(({ length }) => length)).toEqual([2, 1, 1, 3]);
  });

  it('lists by command and by state', async () => {
    const { store } = get();
    const parts = { principal: 'filterer' };
    const [done, open] = [await insertOne(store, parts), await insertOne(store, parts)];
    const other = await insertOne(store, { ...parts, command: 'test.v1.Test/Other' });
    await settle(store, done, aSuccess(1n));
    const list = async (command: string | null, state: 'accepted' | 'succeeded' | null) => {
      const found = await store.list({ principal: 'filterer', command, state, beforeId: null, limit: 10 });
      return found.operations.map(({ id }) => id);
    };
    expect(await list('test.v1.Test/Do', null)).toEqual([open, done]);
    expect(await list(null, 'accepted')).toEqual([other, open]);
    expect(await list('test.v1.Test/Do', 'succeeded')).toEqual([done]);
    expect(await list('test.v1.Test/Nothing', null)).toEqual([]);
  });
});
