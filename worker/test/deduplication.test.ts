import { describe, expect, test } from 'vitest';
import { CommandError } from '../src/errors.ts';
import { MemoryDeduplication } from '../src/memory-deduplication.ts';
import type { Reply } from '../src/reply.ts';
import { createBench, createGate, METHOD } from './support/bench.ts';
import { ManualClock } from './support/manual-clock.ts';

describe('a command that comes twice', () => {
  test('has one effect, and its stored reply is sent again', async () => {
    let effects = 0;
    const bench = createBench();
    bench.worker.handle(METHOD, () => ({ effect: ++effects }));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.send({ id: 'a', headers: { 'sluice-attempt': '2', kafka_correlationId: 'second.correlation' } });
    expect(effects).toBe(1);
    expect(bench.replies()).toMatchObject([
      { id: 'a', value: { effect: 1 } },
      { id: 'second', value: { effect: 1 } },
    ]);
    await bench.worker.stop();
  });

  test('while it runs waits for the first coming and is answered with it', async () => {
    const handlers = createGate<object>();
    const bench = createBench();
    bench.worker.handle(METHOD, (_request, context) => handlers.wait(context.operationId ?? ''));
    await bench.worker.start();
    await bench.send({ id: 'a', key: null });
    await bench.send({ id: 'a', key: null });
    expect(bench.replies()).toEqual([]);
    await handlers.release('a', { done: true });
    expect(handlers.started).toEqual(['a']);
    expect(bench.replies()).toMatchObject([{ value: { done: true } }, { value: { done: true } }]);
    await bench.worker.stop();
  });

  test('after an error gets the same error: a refusal is an answer', async () => {
    let calls = 0;
    const bench = createBench();
    bench.worker.handle(METHOD, () => {
      calls += 1;
      throw new CommandError('NOT_FOUND', 'no such book');
    });
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.send({ id: 'a' });
    expect(calls).toBe(1);
    expect(bench.replies().map((reply) => reply.code)).toEqual(['NOT_FOUND', 'NOT_FOUND']);
    await bench.worker.stop();
  });

  test('past its deadline is told how the first coming ended', async () => {
    const bench = createBench();
    bench.worker.handle(METHOD, () => ({ ok: true }));
    await bench.worker.start();
    const deadlineMs = bench.clock.nowMs() + 1_000;
    await bench.send({ id: 'a', deadlineMs });
    await bench.clock.advance(2_000);
    await bench.send({ id: 'a', deadlineMs });
    expect(bench.replies()).toMatchObject([{ kind: 'result' }, { kind: 'result' }]);
    await bench.worker.stop();
  });

  test('without a ce_id is not known again', async () => {
    let effects = 0;
    const bench = createBench();
    bench.worker.handle(METHOD, () => ({ effect: ++effects }));
    await bench.worker.start();
    for (const id of ['x', 'x']) await bench.send({ id, headers: { ce_id: '' } });
    expect(effects).toBe(2);
    await bench.worker.stop();
  });
});

describe('the store in memory', () => {
  const key = (id: string) => ({ group: 'shop', id });
  const reply = (text: string): Reply => ({
    kind: 'result',
    contentType: null,
    value: new TextEncoder().encode(text),
    headers: [],
  });

  test('keeps no more replies than its bound; the oldest go first', async () => {
    const store = new MemoryDeduplication({ maxEntries: 2 });
    for (const id of ['a', 'b', 'c']) await store.runOnce(key(id), async () => reply(id));
    expect(await store.find(key('a'))).toBeUndefined();
    expect(await store.find(key('c'))).toEqual(reply('c'));
  });

  test('keeps no more bytes than its bound', async () => {
    const store = new MemoryDeduplication({ maxBytes: 1_000 });
    await store.runOnce(key('a'), async () => reply('x'.repeat(500)));
    await store.runOnce(key('b'), async () => reply('x'.repeat(500)));
    expect(await store.find(key('a'))).toBeUndefined();
    expect(await store.find(key('b'))).toBeDefined();
  });

  test('forgets after its retention', async () => {
    const clock = new ManualClock();
    const store = new MemoryDeduplication({ retentionMs: 1_000, clock });
    await store.runOnce(key('a'), async () => reply('a'));
    await clock.advance(1_000);
    expect(await store.find(key('a'))).toBeUndefined();
  });

  test('stores nothing of work that rejected, and whoever waited runs its own', async () => {
    const store = new MemoryDeduplication();
    const first = Promise.withResolvers<Reply>();
    const failing = store.runOnce(key('a'), () => first.promise);
    const waiting = store.runOnce(key('a'), async () => reply('second'));
    first.reject(new Error('interrupted'));
    await expect(failing).rejects.toThrow('interrupted');
    expect(await waiting).toEqual({ reply: reply('second'), duplicate: false });
  });
});
