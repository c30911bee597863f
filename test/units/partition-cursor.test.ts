import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PartitionCursor } from '../../src/replies/partition-cursor.ts';

const bounds = { maxItems: 1000, maxBytes: 1_000_000 };
const settlement = (offset: bigint) => ({ operationId: `op-${offset}`, offset, sizeBytes: 10, event: null });

describe('the read position of a leased partition', () => {
  it('moves past replies that nobody wants, with the heartbeat', () => {
    const cursor = new PartitionCursor(0, 1n, 10n, bounds);
    cursor.advanceTo(15n);
    expect(cursor.beginProgress()).toEqual({ expectedOffset: 10n, nextOffset: 15n });
    cursor.completeProgress(15n);
    expect(cursor.committed).toBe(15n);
    expect(cursor.beginProgress()).toBeNull();
  });

  it('never passes a reply that a promoting call holds', () => {
    const cursor = new PartitionCursor(0, 1n, 0n, bounds);
    cursor.pin(3n);
    cursor.enqueue(settlement(5n));
    cursor.advanceTo(9n);
    const batch = cursor.beginSettling(10, 1_000_000);
    expect(cursor.offsetAfter(batch)).toBe(3n);
    cursor.completeSettling(batch, 3n);
    expect(cursor.beginProgress()).toBeNull();
    cursor.unpin(3n);
    expect(cursor.beginProgress()).toEqual({ expectedOffset: 3n, nextOffset: 9n });
  });

  it('has one writer: the heartbeat stands back while replies wait or settle', () => {
    const cursor = new PartitionCursor(0, 1n, 0n, bounds);
    cursor.enqueue(settlement(0n));
    cursor.advanceTo(1n);
    expect(cursor.beginProgress()).toBeNull();
    const batch = cursor.beginSettling(10, 1_000_000);
    expect(cursor.beginProgress()).toBeNull();
    cursor.completeSettling(batch, cursor.offsetAfter(batch));
    expect(cursor.committed).toBe(1n);
  });

  it('puts a failed batch first again, in order', () => {
    const cursor = new PartitionCursor(0, 1n, 0n, bounds);
    for (const offset of [0n, 1n, 2n]) cursor.enqueue(settlement(offset));
    const batch = cursor.beginSettling(2, 1_000_000);
    cursor.failSettling(batch);
    expect(cursor.beginSettling(10, 1_000_000).map(({ offset }) => offset)).toEqual([0n, 1n, 2n]);
  });

  it('asks the reader to wait at its bound, and lets it go on after a settle or when the lease is lost', async () => {
    const cursor = new PartitionCursor(0, 1n, 0n, { maxItems: 1, maxBytes: 1000 });
    expect(cursor.room()).toBeUndefined();
    cursor.enqueue(settlement(0n));
    const room = cursor.room();
    expect(room).toBeInstanceOf(Promise);
    const batch = cursor.beginSettling(10, 1_000_000);
    cursor.completeSettling(batch, 1n);
    await room;
    cursor.enqueue(settlement(1n));
    const again = cursor.room();
    cursor.abandon();
    await again;
    expect(cursor.alive).toBe(false);
  });

  it('fills a transaction by bytes too, with one reply at least, and is full by bytes', () => {
    const cursor = new PartitionCursor(0, 1n, 0n, { maxItems: 1000, maxBytes: 25 });
    for (const offset of [0n, 1n, 2n]) cursor.enqueue(settlement(offset));
    expect(cursor.room()).toBeInstanceOf(Promise);
    const first = cursor.beginSettling(10, 20);
    expect(first.map(({ offset }) => offset)).toEqual([0n, 1n]);
    cursor.completeSettling(first, cursor.offsetAfter(first));
    expect(cursor.room()).toBeUndefined();
    expect(cursor.beginSettling(10, 5).map(({ offset }) => offset)).toEqual([2n]);
  });

  it('in any interleaving of holding, settling and progress, stays at or below every unsettled reply', () => {
    const step = fc.constantFrom('read', 'hold', 'release', 'settle', 'progress' as const);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const cursor = new PartitionCursor(0, 1n, 0n, bounds);
        const unsettled = new Set<bigint>();
        const held: bigint[] = [];
        let next = 0n;
        for (const action of steps) {
          if (action === 'read' || action === 'hold') {
            unsettled.add(next);
            if (action === 'hold') {
              held.push(next);
              cursor.pin(next);
            } else cursor.enqueue(settlement(next));
            cursor.advanceTo(++next);
          } else if (action === 'release' && held.length > 0) cursor.enqueue(settlement(held.shift() as bigint));
          else if (action === 'settle') {
            const batch = cursor.beginSettling(3, 1_000_000);
            const to = cursor.offsetAfter(batch);
            cursor.completeSettling(batch, to);
            for (const { offset } of batch) unsettled.delete(offset);
          } else if (action === 'progress') {
            const progress = cursor.beginProgress();
            if (progress) cursor.completeProgress(progress.nextOffset);
          }
          for (const offset of unsettled) expect(cursor.committed <= offset).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
