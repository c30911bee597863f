import { describe, expect, it } from 'vitest';
import { KeyedCalls } from '../../src/operations/calls/keyed-calls.ts';
import type { KeyHolder, KeyScope } from '../../src/operations/store-ports.ts';
import { StoreError } from '../../src/operations/store-ports.ts';
import { anInvocation } from '../support/core.ts';
import { anOperation } from '../support/operations.ts';

const OPTIONS = { maxBatch: 10, maxPendingLookUps: 10, maxJoined: 2 };
const fingerprint = Buffer.from('payload');
const keyed = (key: string) => anInvocation({ idempotency: { key, fingerprint } });
const aHolder = (): KeyHolder => ({ operation: anOperation(), fingerprint });

function setUp(known: KeyHolder | null = null) {
  const asked: KeyScope[] = [];
  const reads = {
    readByKeys: async (scopes: readonly KeyScope[]) => {
      asked.push(...scopes);
      return scopes.map(() => known);
    },
  };
  return { asked, calls: new KeyedCalls(reads, OPTIONS) };
}

describe('calls with an Idempotency-Key', () => {
  it('that is known have the operation of the key', async () => {
    const holder = aHolder();
    expect(await setUp(holder).calls.claim(keyed('a'))).toEqual({ kind: 'known', holder });
  });

  it('that meet make one operation: the first is told to, the others wait for it', async () => {
    const { calls, asked } = setUp();
    const first = calls.claim(keyed('a'));
    const second = calls.claim(keyed('a'));
    const claim = await first;
    if (claim.kind !== 'first') throw new Error('expected the first');
    expect(await Promise.race([second, 'waits'])).toBe('waits');
    const holder = aHolder();
    claim.complete(holder);
    expect(await second).toEqual({ kind: 'known', holder });
    expect(asked).toEqual([{ principal: '', command: 'test.v1.Test/Do', key: 'a' }]);
  });

  it('of another key, or of the same key once the first is done, go their own way', async () => {
    const { calls, asked } = setUp();
    const first = await calls.claim(keyed('a'));
    expect(await calls.claim(keyed('b'))).toMatchObject({ kind: 'first' });
    if (first.kind === 'first') first.complete(aHolder());
    expect(await calls.claim(keyed('a'))).toMatchObject({ kind: 'first' });
    expect(asked.map(({ key }) => key)).toEqual(['a', 'b', 'a']);
  });

  it('are refused with another payload while the first is under way, whatever becomes of that one', async () => {
    const { calls } = setUp();
    await calls.claim(keyed('a'));
    const other = anInvocation({ idempotency: { key: 'a', fingerprint: Buffer.from('other') } });
    await expect(calls.claim(other)).rejects.toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED', delivery: 'not_sent' });
  });

  it('fail as the first one fails', async () => {
    const { calls } = setUp();
    const first = await calls.claim(keyed('a'));
    const second = calls.claim(keyed('a'));
    if (first.kind === 'first') first.abandon(new Error('no room'));
    await expect(second).rejects.toThrow('no room');
  });

  it('are refused, not_sent, past the bound of those that wait', async () => {
    const { calls } = setUp();
    const first = await calls.claim(keyed('a'));
    const waiting = [calls.claim(keyed('a')), calls.claim(keyed('a'))];
    await expect(calls.claim(keyed('a'))).rejects.toMatchObject({ code: 'OVERLOADED', delivery: 'not_sent' });
    if (first.kind === 'first') first.complete(aHolder());
    await Promise.all(waiting);
  });

  it('are refused, not_sent, where the key cannot be looked up, and do not stand in the way of the next', async () => {
    const outcomes = [() => Promise.reject(new StoreError('away', { certainlyNotWritten: false })), async () => [null]];
    const calls = new KeyedCalls({ readByKeys: () => (outcomes.shift() as () => Promise<null[]>)() }, OPTIONS);
    await expect(calls.claim(keyed('a'))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', delivery: 'not_sent' });
    expect(await calls.claim(keyed('a'))).toMatchObject({ kind: 'first' });
  });
});
