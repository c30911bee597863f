import { describe, expect, test } from 'vitest';
import type { CommandContext } from '../src/context.ts';
import { createBench, createGate, METHOD, TOPIC } from './support/bench.ts';
import { turn } from './support/manual-clock.ts';

describe('a deadline', () => {
  test('that has passed before the command came is answered with DEADLINE_EXCEEDED, and no handler runs', async () => {
    let runs = 0;
    const bench = createBench();
    bench.worker.handle(METHOD, () => ({ runs: ++runs }));
    await bench.worker.start();
    await bench.send({ id: 'a', deadlineMs: bench.clock.nowMs() - 1 });
    expect(runs).toBe(0);
    expect(bench.replies()).toMatchObject([{ id: 'a', kind: 'error', code: 'DEADLINE_EXCEEDED' }]);
    await bench.worker.stop();
  });

  test('is kept for a command that waits behind others: answered then, not at its turn', async () => {
    const handlers = createGate<object>();
    const bench = createBench({ concurrency: 1, acceptedAfterMs: 60_000 });
    bench.worker.handle(METHOD, (_request, context) => handlers.wait(context.operationId ?? ''));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.send({ id: 'b', deadlineMs: bench.clock.nowMs() + 1_000 });
    await bench.clock.advance(1_000);
    expect(bench.replies()).toMatchObject([{ id: 'b', code: 'DEADLINE_EXCEEDED' }]);
    await handlers.release('a', {});
    expect(handlers.started).toEqual(['a']);
    await bench.worker.stop();
  });

  test('fires the signal and answers at once; a late result is dropped, and the key waits for the handler', async () => {
    const handlers = createGate<object>();
    const contexts: CommandContext[] = [];
    const bench = createBench({ acceptedAfterMs: 60_000 });
    bench.worker.handle(METHOD, (_request, context) => {
      contexts.push(context);
      return handlers.wait(context.operationId ?? '');
    });
    await bench.worker.start();
    await bench.send({ id: 'a1', key: 'a', deadlineMs: bench.clock.nowMs() + 1_000 });
    await bench.send({ id: 'a2', key: 'a' });
    await bench.clock.advance(1_000);
    expect(contexts[0]?.signal.aborted).toBe(true);
    expect(bench.replies()).toMatchObject([{ id: 'a1', code: 'DEADLINE_EXCEEDED' }]);
    expect(handlers.started).toEqual(['a1']);
    await handlers.release('a1', { late: true });
    expect(handlers.started).toEqual(['a1', 'a2']);
    await handlers.release('a2', {});
    expect(bench.replies().map(({ id, kind }) => [id, kind])).toEqual([
      ['a1', 'error'],
      ['a2', 'result'],
    ]);
    await bench.worker.stop();
  });

  test('and a handler that never ends: its place is given free in the end', async () => {
    const started: unknown[] = [];
    const bench = createBench({ concurrency: 1, abandonAfterMs: 10_000, acceptedAfterMs: 60_000 });
    bench.worker.handle(METHOD, (_request, context) => {
      started.push(context.operationId);
      return context.operationId === 'hangs' ? new Promise(() => {}) : {};
    });
    await bench.worker.start();
    await bench.send({ id: 'hangs', deadlineMs: bench.clock.nowMs() + 1_000 });
    await bench.send({ id: 'next' });
    await bench.clock.advance(10_999);
    expect(started).toEqual(['hangs']);
    await bench.clock.advance(1);
    expect(started).toEqual(['hangs', 'next']);
    await bench.worker.stop();
  });
});

describe('stop', () => {
  test('lets what runs finish and sends its reply; what waits is left to others, its offset uncommitted', async () => {
    const handlers = createGate<object>();
    const bench = createBench({ concurrency: 1 });
    bench.worker.handle(METHOD, (_request, context) => handlers.wait(context.operationId ?? ''));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.send({ id: 'b' });
    const stopped = bench.worker.stop();
    await handlers.release('a', { done: true });
    await stopped;
    expect(bench.replies()).toMatchObject([{ id: 'a', kind: 'result' }]);
    expect(handlers.started).toEqual(['a']);
    expect(bench.committed()).toBe(1n);
    expect(bench.clock.pendingTimers).toBe(0);
  });

  test('fires the signal at its bound; a handler that gives up is not answered and runs again elsewhere', async () => {
    const bench = createBench();
    bench.worker.handle(METHOD, async (_request, context) => {
      await new Promise<void>((_resolve, reject) => {
        context.signal.addEventListener('abort', () => reject(context.signal.reason));
      });
    });
    await bench.worker.start();
    await bench.send({ id: 'a' });
    const stopped = bench.worker.stop({ timeoutMs: 5_000 });
    await bench.clock.advance(5_000);
    await stopped;
    expect(bench.replies().filter((reply) => reply.kind !== 'accepted')).toEqual([]);
    expect(bench.committed()).toBe(0n);

    const other = createBench({}, bench.bus);
    other.worker.handle(METHOD, () => ({ by: 'other' }));
    await other.worker.start();
    await turn();
    expect(bench.replies().at(-1)).toMatchObject({ id: 'a', value: { by: 'other' } });
    await other.worker.stop();
  });

  test('ends although a handler ignores its signal', async () => {
    const bench = createBench();
    bench.worker.handle(METHOD, () => new Promise(() => {}));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    const stopped = bench.worker.stop({ timeoutMs: 5_000, graceMs: 1_000 });
    await bench.clock.advance(6_000);
    await stopped;
    expect(bench.committed()).toBe(0n);
    expect(bench.clock.pendingTimers).toBe(0);
  });

  test('called twice is one stop, and takes nothing that comes later', async () => {
    const bench = createBench();
    let runs = 0;
    bench.worker.handle(METHOD, () => ({ runs: ++runs }));
    await bench.worker.start();
    await Promise.all([bench.worker.stop(), bench.worker.stop()]);
    await bench.send({ id: 'a' });
    expect(runs).toBe(0);
  });
});

describe('a partition given away', () => {
  test('takes what waits with it: only its new owner runs that', async () => {
    const handlers = createGate<object>();
    let revoke: (() => void) | undefined;
    const bench = createBench({ concurrency: 1 });
    const subscribe = bench.bus.subscribe.bind(bench.bus);
    bench.bus.subscribe = (options) => {
      revoke = () => options.onRevoked?.([{ topic: TOPIC, partition: 0 }]);
      return subscribe(options);
    };
    bench.worker.handle(METHOD, (_request, context) => handlers.wait(context.operationId ?? ''));
    await bench.worker.start();
    await bench.send({ id: 'runs' });
    await bench.send({ id: 'waits' });
    revoke?.();
    await handlers.release('runs', {});
    await bench.clock.advance(1_000);
    expect(handlers.started).toEqual(['runs']);
    expect(bench.replies()).toMatchObject([{ id: 'runs', kind: 'result' }]);
    expect(bench.committed()).toBe(0n);
    await bench.worker.stop();
  });
});

describe('a worker that cannot start', () => {
  test('says which option or method is wrong', () => {
    expect(() => createBench({ concurrency: 0 })).toThrow('concurrency: expected a whole number from 1');
    const { worker } = createBench();
    expect(() => worker.handle('Buy', () => ({}))).toThrow('expected package.Service/Method');
    worker.handle(METHOD, () => ({}));
    expect(() => worker.handle(METHOD, () => ({}))).toThrow('has a handler already');
  });
});
