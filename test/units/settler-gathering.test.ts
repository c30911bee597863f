import { describe, expect, it } from 'vitest';
import type { AwaitedCalls } from '../../src/operations/calls/awaited-calls.ts';
import type { DispatchMarks } from '../../src/operations/outbox/dispatch-marks.ts';
import { PartitionCursor } from '../../src/replies/partition-cursor.ts';
import { Settler } from '../../src/replies/settler.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { newOperationId } from '../support/operations.ts';
import { aSuccess } from '../support/store-parts.ts';

const GATHER_MS = 20;
const MAX_ITEMS = 50;

const NO_MARKS = { takeAlong: () => null, complete: () => undefined, putBack: () => undefined };

/** A settler whose transactions are done at once; `batches` has how many replies each had. */
function gatherings() {
  const clock = new FakeClock();
  const batches: number[] = [];
  const waiting = { count: 0 };
  const settler = new Settler(
    { maxItems: MAX_ITEMS, maxBytes: 1_000_000, gatherMs: GATHER_MS },
    {
      changes: {
        commit: async (changes) => {
          batches.push(changes.length);
          return { operations: [], missing: [] };
        },
      },
      calls: { forget: () => undefined } as unknown as AwaitedCalls,
      marks: NO_MARKS as unknown as DispatchMarks,
      onLeaseDoubt: () => undefined,
      isAnyAwaited: () => waiting.count > 0,
      clock,
      logger: silentLogger,
      metrics: createMetrics(),
    },
  );
  const cursor = new PartitionCursor(0, 1n, 0n, { maxItems: 1_000, maxBytes: 1_000_000 });
  let offset = 0n;
  const arrive = (count: number) => {
    for (let place = 0; place < count; place++) {
      const event = aSuccess(offset);
      cursor.enqueue({ operationId: newOperationId(), offset: offset++, sizeBytes: 1, event });
    }
    cursor.advanceTo(offset);
    settler.kick(cursor);
  };
  return { clock, batches, waiting, settler, arrive };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('replies that come in numbers', () => {
  it('gather until a while after the last batch began', async () => {
    const { clock, batches, settler, arrive } = gatherings();
    arrive(16);
    await turn();
    arrive(3);
    arrive(4);
    await turn();
    expect(batches).toEqual([16]);
    clock.advance(GATHER_MS);
    await turn();
    expect(batches).toEqual([16, 7]);
    await settler.stop();
  });

  it('gather not after a small batch', async () => {
    const { batches, settler, arrive } = gatherings();
    arrive(15);
    await turn();
    arrive(3);
    await turn();
    expect(batches).toEqual([15, 3]);
    await settler.stop();
  });

  it('gather not while somebody waits for one', async () => {
    const { batches, waiting, settler, arrive } = gatherings();
    arrive(16);
    await turn();
    waiting.count = 1;
    arrive(3);
    await turn();
    expect(batches).toEqual([16, 3]);
    await settler.stop();
  });

  it('gather no longer than until a batch is full', async () => {
    const { batches, settler, arrive } = gatherings();
    arrive(16);
    await turn();
    arrive(MAX_ITEMS - 1);
    await turn();
    expect(batches).toEqual([16]);
    arrive(1);
    await turn();
    expect(batches).toEqual([16, MAX_ITEMS]);
    await settler.stop();
  });

  it('are settled by who stops, and he waits for no more', async () => {
    const { batches, settler, arrive } = gatherings();
    arrive(16);
    await turn();
    arrive(3);
    await settler.stop();
    expect(batches).toEqual([16, 3]);
  });
});
