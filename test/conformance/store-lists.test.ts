import { expect, it } from 'vitest';
import { describeStores } from '../support/store.ts';
import { aNewOperation, aSuccess } from '../support/store-parts.ts';
import { insertOne, settle } from '../support/store-rows.ts';

describeStores('listing operations', (get) => {
  it('lists the operations of a principal, newest first, page by page', async () => {
    const { store } = get();
    const operations = Array.from({ length: 7 }, () => aNewOperation({ principal: 'lister' }));
    await store.insert([...operations, aNewOperation({ principal: 'other' })]);
    const newestFirst = operations.map(({ id }) => id).reverse();
    const query = { principal: 'lister', command: null, state: null, limit: 3 };
    const seen: string[] = [];
    for (let beforeId: string | null = null; ; ) {
      const page = await store.list({ ...query, beforeId });
      if (page.length === 0) break;
      seen.push(...page.map(({ id }) => id));
      beforeId = seen.at(-1)!;
    }
    expect(seen).toEqual(newestFirst);
  });

  it('lists by command and by state', async () => {
    const { store } = get();
    const parts = { principal: 'filterer' };
    const [done, open] = [await insertOne(store, parts), await insertOne(store, parts)];
    const other = await insertOne(store, { ...parts, command: 'test.v1.Test/Other' });
    await settle(store, done, aSuccess(1n));
    const list = async (command: string | null, state: 'accepted' | 'succeeded' | null) => {
      const found = await store.list({ principal: 'filterer', command, state, beforeId: null, limit: 10 });
      return found.map(({ id }) => id);
    };
    expect(await list('test.v1.Test/Do', null)).toEqual([open, done]);
    expect(await list(null, 'accepted')).toEqual([other, open]);
    expect(await list('test.v1.Test/Do', 'succeeded')).toEqual([done]);
    expect(await list('test.v1.Test/Nothing', null)).toEqual([]);
  });
});
