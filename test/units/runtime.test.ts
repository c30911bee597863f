import { describe, expect, it } from 'vitest';
import { formatCorrelation, parseCorrelation } from '../../src/operations/correlation.ts';
import { planWait } from '../../src/operations/wait-plan.ts';
import { Batcher, BatchFullError } from '../../src/runtime/batch.ts';
import { IdSource, isOperationId, timeOfIdMs } from '../../src/runtime/ids.ts';

describe('operation ids', () => {
  it('are UUIDv7, carry their time, and never go back, also when the clock does', () => {
    let nowMs = 1_800_000_000_000;
    const ids = new IdSource(() => nowMs);
    const first = ids.next();
    expect(isOperationId(first)).toBe(true);
    expect(timeOfIdMs(first)).toBe(nowMs);
    nowMs -= 60_000;
    const many = Array.from({ length: 10_000 }, () => ids.next());
    expect([first, ...many]).toEqual([first, ...many].toSorted());
    expect(new Set(many).size).toBe(many.length);
  });
});

describe('the correlation id', () => {
  const operationId = new IdSource(() => 1_800_000_000_000).next();

  it('comes back as it was given', () => {
    for (const unrecordedBy of [null, 'k3j9x0']) {
      const correlation = { operationId, homePartition: 31, unrecordedBy };
      expect(parseCorrelation(formatCorrelation(correlation))).toEqual(correlation);
    }
  });

  it.each(['', 'x', '{"id":1}', `${operationId}`, `${operationId}.1`, `${operationId}.x.r`, `${operationId}.1.r.r`])(
    'of another system is not ours: %s',
    (text) => expect(parseCorrelation(text)).toBeNull(),
  );
});

describe('group commit', () => {
  it('gathers while a batch is in flight, and gives each item its own result', async () => {
    const batches: number[][] = [];
    const gate = Promise.withResolvers<void>();
    const batcher = new Batcher<number, number>({
      maxItems: 10,
      maxPendingItems: 100,
      flush: async (items) => {
        batches.push([...items]);
        if (batches.length === 1) await gate.promise;
        return items.map((item) => (item === 3 ? new Error('three') : item * 2));
      },
    });
    const first = batcher.submit(1);
    await new Promise((resolve) => setImmediate(resolve));
    const later = [2, 3, 4].map((item) => batcher.submit(item));
    gate.resolve();
    expect(await first).toBe(2);
    expect((await Promise.allSettled(later)).map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    expect(batches).toEqual([[1], [2, 3, 4]]);
  });

  it('is bounded in items and bytes, and refuses instead of growing', async () => {
    const gate = Promise.withResolvers<void>();
    const batcher = new Batcher<number, number>({
      maxItems: 10,
      maxPendingItems: 3,
      maxPendingBytes: 10,
      sizeOf: (item) => item,
      flush: async (items) => {
        await gate.promise;
        return items;
      },
    });
    const taken = [batcher.submit(4), batcher.submit(4)];
    await expect(batcher.submit(4)).rejects.toBeInstanceOf(BatchFullError);
    taken.push(batcher.submit(1));
    await expect(batcher.submit(0)).rejects.toBeInstanceOf(BatchFullError);
    gate.resolve();
    await Promise.all(taken);
    await batcher.drain();
    expect(batcher.pendingItems).toBe(0);
  });

  it('cuts a batch at its bytes, and lets an item that is larger go alone', async () => {
    const batches: number[][] = [];
    const batcher = new Batcher<number, number>({
      maxItems: 10,
      maxPendingItems: 100,
      maxBytes: 10,
      sizeOf: (item) => item,
      flush: async (items) => {
        batches.push([...items]);
        return items;
      },
    });
    await Promise.all([6, 6, 50, 4, 4].map((item) => batcher.submit(item)));
    expect(batches).toEqual([[6], [6], [50], [4, 4]]);
  });

  it('fails the whole batch when the flush throws, and goes on with the next', async () => {
    let calls = 0;
    const batcher = new Batcher<number, number>({
      maxItems: 10,
      maxPendingItems: 100,
      flush: async (items) => {
        calls += 1;
        if (calls === 1) throw new Error('lost');
        return items;
      },
    });
    await expect(batcher.submit(1)).rejects.toThrow('lost');
    expect(await batcher.submit(2)).toBe(2);
  });
});

describe('how long a caller waits', () => {
  const policy = {
    topic: 't',
    waitMs: 5000,
    maxWaitMs: 30_000,
    timeoutMs: 60_000,
    onTimeout: 'ACCEPT',
    record: 'AUTO',
    style: 'REPLY',
    replyPartition: 'both',
    maxAttempts: 1,
    redeliverAfterMs: null,
    workerGroup: null,
    ordered: false,
  } as const;
  const command = { name: 'a.v1.A/Do', type: 'a.v1.A.Do', policy };
  const failing = { ...command, policy: { ...policy, onTimeout: 'FAIL' } as const };

  it.each([
    [command, { kind: 'default' }, { recordFirst: false, waitMs: 5000, timeoutMs: 60_000 }],
    [command, { kind: 'for', waitMs: 1000 }, { recordFirst: false, waitMs: 1000, timeoutMs: 60_000 }],
    [command, { kind: 'for', waitMs: 99_000 }, { recordFirst: false, waitMs: 30_000 }],
    [command, { kind: 'none' }, { recordFirst: true, waitMs: 0 }],
    [command, { kind: 'until', atMs: 3000 }, { waitMs: 2000, timeoutMs: 60_000 }],
    [command, { kind: 'until', atMs: null }, { waitMs: 60_000 }],
    [command, { kind: 'until', atMs: 0 }, { waitMs: 0 }],
    [failing, { kind: 'none' }, { recordFirst: false, waitMs: 5000, timeoutMs: 5000, onExpiry: 'FAIL' }],
    [failing, { kind: 'for', waitMs: 1000 }, { waitMs: 1000, timeoutMs: 1000, onExpiry: 'FAIL' }],
    [
      { ...command, policy: { ...policy, record: 'ALWAYS' } as const },
      { kind: 'default' },
      { recordFirst: true, waitMs: 5000 },
    ],
  ] as const)('%#', (terms, wait, expected) => {
    expect(planWait({ command: terms, wait, idempotency: null }, 1000)).toMatchObject(expected);
  });
});
