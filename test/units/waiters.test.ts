import { describe, expect, it } from 'vitest';
import { Waiters } from '../../src/delivery/waiters.ts';
import type { Operation } from '../../src/operations/operation.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { anOperation } from '../support/operations.ts';

function setUp(maxWaiters = 10) {
  const clock = new FakeClock();
  const rows = new Map<string, Operation>();
  const queries: (readonly string[])[] = [];
  const reads = {
    read: async (ids: readonly string[]) => {
      queries.push(ids);
      return ids.flatMap((id) => rows.get(id) ?? []);
    },
    list: async () => ({ operations: [], hasMore: false }),
    readByKeys: async () => [],
    readEvents: async () => [],
  };
  const waiters = new Waiters(reads, { maxWaiters, rereadMs: 1000 }, { clock, logger: silentLogger });
  return { clock, rows, queries, waiters };
}

const never = new AbortController().signal;

describe('waiting for an operation', () => {
  it('ends with what the settling transaction returned', async () => {
    const { waiters } = setUp();
    const known = anOperation();
    const waiting = waiters.waitFor(known.id, { untilMs: 5000, signal: never, known });
    const done = { ...known, state: 'succeeded', version: 2 } as const;
    waiters.wake([done]);
    expect(await waiting).toBe(done);
    expect(waiters.count).toBe(0);
  });

  it('registers before it reads, so a row that is done already ends it', async () => {
    const { waiters, rows } = setUp();
    const done = anOperation({ state: 'succeeded' });
    rows.set(done.id, done);
    expect(await waiters.waitFor(done.id, { untilMs: 5000, signal: never })).toBe(done);
  });

  it('reads every waited-for operation again each second in one query, for settlements whose word was lost', async () => {
    const { waiters, rows, queries, clock } = setUp();
    const two = [anOperation(), anOperation()];
    const waiting = two.map((known) => waiters.waitFor(known.id, { untilMs: 5000, signal: never, known }));
    for (const known of two) rows.set(known.id, { ...known, state: 'failed', version: 2 });
    clock.advance(1000);
    expect((await Promise.all(waiting)).map((operation) => operation?.state)).toEqual(['failed', 'failed']);
    expect(queries).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends at its time with the newest snapshot', async () => {
    const { waiters, clock } = setUp();
    const known = anOperation();
    const waiting = waiters.waitFor(known.id, { untilMs: 500, signal: never, known });
    const running = { ...known, state: 'running', version: 2 } as const;
    waiters.wake([running]);
    clock.advance(500);
    expect(await waiting).toBe(running);
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends when the caller goes away, also one that was gone before', async () => {
    const { waiters, clock } = setUp();
    const known = anOperation();
    const caller = new AbortController();
    const waiting = waiters.waitFor(known.id, { untilMs: 500, signal: caller.signal, known });
    caller.abort();
    expect(await waiting).toBe(known);
    expect(await waiters.waitFor(known.id, { untilMs: 500, signal: caller.signal, known })).toBe(known);
    expect(clock.pendingTimers).toBe(0);
  });

  it('is not fooled by an older snapshot that comes late', async () => {
    const { waiters, clock } = setUp();
    const known = anOperation({ version: 5, state: 'running' });
    const waiting = waiters.waitFor(known.id, { untilMs: 500, signal: never, known });
    waiters.wake([{ ...known, version: 3, state: 'dispatched' }]);
    clock.advance(500);
    expect(await waiting).toBe(known);
  });

  it('is bounded', async () => {
    const { waiters } = setUp(1);
    const known = anOperation();
    const first = waiters.waitFor(known.id, { untilMs: 500, signal: never, known });
    await expect(waiters.waitFor(known.id, { untilMs: 500, signal: never, known })).rejects.toMatchObject({
      code: 'OVERLOADED',
    });
    waiters.stop();
    expect(await first).toBe(known);
  });
});
