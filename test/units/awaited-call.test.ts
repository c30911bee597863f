import { describe, expect, it } from 'vitest';
import { AwaitedCall } from '../../src/operations/calls/awaited-call.ts';
import { AwaitedCalls } from '../../src/operations/calls/awaited-calls.ts';
import { aReply } from '../support/operations.ts';

const at = (offset: bigint) => ({ position: { topic: 'replies', partition: 0, offset } });
const result = { kind: 'reply', reply: aReply('a', 'result', at(1n)) } as const;
const progress = { kind: 'reply', reply: aReply('a', 'progress', at(0n)) } as const;

describe('a call that waits in memory', () => {
  it('is answered by the first reply that ends the command, and takes no second', async () => {
    const call = new AwaitedCall('a');
    expect(call.offer(result)).toBe('taken');
    expect(call.state).toBe('answered');
    expect(call.offer(result)).toBe('stale');
    expect(await call.take()).toBe(result);
  });

  it('keeps the last progress and goes on waiting', () => {
    const call = new AwaitedCall('a');
    expect(call.offer(progress)).toBe('taken');
    expect(call.state).toBe('waiting');
    expect(call.progress).toEqual({ percent: 10, message: null });
    expect(call.sawSignOfLife).toBe(true);
  });

  it('answers with a reply that comes between the end of the wait and the promotion', async () => {
    const call = new AwaitedCall('a');
    call.expire();
    expect((await call.take()).kind).toBe('expired');
    call.offer(result);
    expect(call.beginPromotion()).toBe(false);
    expect(await call.take()).toBe(result);
  });

  it('holds replies while it is promoted and gives them up to settlement', () => {
    const call = new AwaitedCall('a');
    call.expire();
    expect(call.beginPromotion()).toBe(true);
    expect(call.offer(progress)).toBe('held');
    expect(call.offer(result)).toBe('held');
    // The same again, where the source was moved back, and another one.
    expect(call.offer(result)).toBe('held');
    expect(call.offer({ kind: 'reply', reply: aReply('a', 'result', at(9n)) })).toBe('stale');
    expect(call.heldAnswer()).toBe(result);
    expect(call.completePromotion()).toEqual([progress, result]);
    expect(call.offer(result)).toBe('settle');
  });

  it('holds the newest sign of life only, and says which one it let go', () => {
    const call = new AwaitedCall('a');
    call.beginPromotion();
    const newer = { kind: 'reply', reply: aReply('a', 'progress', at(8n)) } as const;
    call.offer(progress);
    expect(call.takeSuperseded()).toBeNull();
    call.offer(newer);
    expect(call.takeSuperseded()).toBe(progress);
    expect(call.takeSuperseded()).toBeNull();
    call.offer(result);
    expect(call.completePromotion()).toEqual([newer, result]);
  });

  it('gives the held answer back where no row can be had, and wants no more', () => {
    const call = new AwaitedCall('a');
    call.beginPromotion();
    call.offer(result);
    expect(call.abandonPromotion()).toEqual([result]);
    expect(call.offer(result)).toBe('stale');
  });

  it('ignores expiry, a leaving caller and a publish error once it is answered', async () => {
    const call = new AwaitedCall('a');
    call.offer(result);
    call.expire();
    call.leave();
    call.failToPublish(new Error('late'));
    expect(await call.take()).toBe(result);
  });

  it('ignores a publish error while it is promoted: the row is followed by the dispatcher', () => {
    const call = new AwaitedCall('a');
    call.beginPromotion();
    call.failToPublish(new Error('late'));
    expect(call.state).toBe('promoting');
  });
});

describe('the calls of an instance', () => {
  it('are bounded: one more is refused, not_sent, with a time to retry after', () => {
    const calls = new AwaitedCalls({ maxOpenCalls: 1, maxOpenBytes: 100, maxRecordedCalls: 1 });
    const first = calls.open('a', 1);
    expect(() => calls.open('b', 1)).toThrow(
      expect.objectContaining({ code: 'OVERLOADED', delivery: 'not_sent', retryAfterMs: 1000 }),
    );
    calls.close(first);
    expect(calls.open('b', 1).id).toBe('b');
  });

  it('are bounded in bytes too', () => {
    const calls = new AwaitedCalls({ maxOpenCalls: 9, maxOpenBytes: 10, maxRecordedCalls: 1 });
    const first = calls.open('a', 8);
    expect(() => calls.open('b', 3)).toThrow(expect.objectContaining({ code: 'OVERLOADED' }));
    calls.close(first);
    expect(calls.open('b', 3).sizeBytes).toBe(3);
  });

  it('remember promoted calls up to a bound, and know when they forgot one', () => {
    const calls = new AwaitedCalls({ maxOpenCalls: 9, maxOpenBytes: 100, maxRecordedCalls: 1 });
    calls.keepRecorded(calls.open('a', 1));
    expect(calls.forgotRecorded).toBe(false);
    calls.keepRecorded(calls.open('b', 1));
    expect(calls.forgotRecorded).toBe(true);
    expect(calls.get('a')).toBeUndefined();
    expect(calls.get('b')).toBeDefined();
    expect(calls.openCalls).toBe(0);
  });
});
