import { expect, it } from 'vitest';
import type { Operation } from '../../src/operations/operation.ts';
import { Administrator } from '../../src/operations/resource/administration.ts';
import { listPage } from '../../src/operations/resource/list.ts';
import type { OperationQuery, OperationSlice } from '../../src/operations/store-ports.ts';
import { anOperation } from '../support/operations.ts';

const ASKED = { principal: null, command: null, state: null, pageToken: null };

/** Rows of a store that gives no more than `most` at once, whatever it is asked for: they are large. */
function makeRows(count: number, most: number) {
  const rows = Array.from({ length: count }, () => anOperation({ state: 'accepted' })).toReversed();
  const limits: number[] = [];
  const behind = (beforeId: string | null) => rows.filter(({ id }) => beforeId === null || id < beforeId);
  const list = async ({ beforeId, limit }: Pick<OperationQuery, 'beforeId' | 'limit'>): Promise<OperationSlice> => {
    limits.push(limit);
    const left = behind(beforeId);
    const operations = left.slice(0, Math.min(limit, most));
    return { operations, hasMore: operations.length < left.length };
  };
  const reads = {
    list,
    listUnreconciled: async (query: { readonly beforeId: string | null; readonly limit: number }) =>
      behind(query.beforeId).slice(0, query.limit),
    read: async (ids: readonly string[]) => rows.filter(({ id }) => ids.includes(id)),
    readByKeys: async () => [],
    readEvents: async () => [],
  };
  const refuse = () => Promise.reject(new Error('not in these tests'));
  return { rows, limits, list, administration: new Administrator({ reads, cancel: refuse, redrive: refuse }) };
}

/** The sizes of all pages, and what stood on them. */
async function readPages(
  read: (
    pageToken: string | null,
  ) => Promise<{ readonly operations: readonly Operation[]; readonly nextPageToken: string | null }>,
) {
  const pages: (readonly Operation[])[] = [];
  for (let token: string | null = null; ; ) {
    const { operations, nextPageToken } = await read(token);
    pages.push(operations);
    if (nextPageToken === null) return { sizes: pages.map(({ length }) => length), operations: pages.flat() };
    token = nextPageToken;
  }
}

it('a page that is not full for its bytes is not taken for the last one', async () => {
  const { rows, limits, list } = makeRows(7, 3);
  const read = await readPages((pageToken) => listPage({ ...ASKED, pageSize: 5, pageToken }, list));
  expect(read).toEqual({ sizes: [3, 3, 1], operations: rows });
  expect(limits).toEqual([5, 5, 5]);
});

it('a full page without anything behind it is the last one', async () => {
  const { rows, list } = makeRows(4, 100);
  const read = await readPages((pageToken) => listPage({ ...ASKED, pageSize: 2, pageToken }, list));
  expect(read).toEqual({ sizes: [2, 2], operations: rows });
});

it('what is to be reconciled goes page by page to its end', async () => {
  const { rows, administration } = makeRows(4, 100);
  const read = await readPages((pageToken) => administration.listUnreconciled({ pageSize: 2, pageToken }));
  expect(read).toEqual({ sizes: [2, 2], operations: rows });
});

it('a rebuild looks at every operation, however few are read at once', async () => {
  const { administration } = makeRows(7, 3);
  const counted: number[] = [];
  const report = await administration.rebuild(null, new AbortController().signal, (count) => counted.push(count));
  expect(report).toMatchObject({ operations: 7, differences: [] });
  expect(counted).toEqual([1, 2, 3, 4, 5, 6, 7]);
});
