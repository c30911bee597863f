import { describe, expect, test } from 'vitest';
import type { CommandContext } from '../src/context.ts';
import { encodeText } from '../src/headers.ts';
import { MemoryTransport } from '../src/memory-transport.ts';
import type { WatchOptions } from '../src/transport.ts';
import { createBench, createGate, METHOD, toControlRecord } from './support/bench.ts';
import { turn } from './support/manual-clock.ts';

describe('an operation that is cancelled', () => {
  test('while its handler runs fires the signal; what the handler makes of it is sent', async () => {
    const reasons: unknown[] = [];
    const bench = createBench();
    bench.worker.handle(METHOD, async (_request, { signal }: CommandContext) => {
      await new Promise<void>((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      }).catch((reason) => {
        reasons.push(reason.code);
        throw reason;
      });
    });
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.cancel('other');
    expect(reasons).toEqual([]);
    await bench.cancel('a');
    expect(reasons).toEqual(['CANCELLED']);
    expect(bench.replies()).toMatchObject([{ id: 'a', kind: 'error', code: 'CANCELLED' }]);
    await bench.clock.advance(1_000);
    expect(bench.committed()).toBe(1n);
    await bench.worker.stop();
  });

  test('too late, with a result that is there already, keeps that result', async () => {
    const handlers = createGate<object>();
    const bench = createBench();
    bench.worker.handle(METHOD, () => handlers.wait('a'));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.cancel('a');
    await handlers.release('a', { done: true });
    expect(bench.replies()).toMatchObject([{ kind: 'result', value: { done: true } }]);
    await bench.worker.stop();
  });

  test('while it waits is passed over: no handler, no reply, its offset moves, and the next of its key runs', async () => {
    const handlers = createGate<object>();
    const bench = createBench();
    bench.worker.handle(METHOD, (_request, context) => handlers.wait(context.operationId ?? ''));
    await bench.worker.start();
    for (const id of ['first', 'waits', 'next']) await bench.send({ id, key: 'one' });
    await bench.cancel('waits');
    await handlers.release('first', {});
    await handlers.release('next', {});
    expect(handlers.started).toEqual(['first', 'next']);
    await bench.clock.advance(5_000);
    expect(bench.replies().filter(({ id }) => id === 'waits')).toEqual([]);
    expect(bench.committed()).toBe(3n);
    await bench.worker.stop();
    expect(bench.clock.pendingTimers).toBe(0);
  });

  test('before its command comes is passed over for ten minutes, by a worker started after it, too', async () => {
    const bench = createBench();
    await bench.cancel('a');
    await bench.clock.advance(599_000);
    const started: unknown[] = [];
    bench.worker.handle(METHOD, (_request, context) => void started.push(context.operationId));
    // Before the start: the worker must know of the cancellation when it takes what waits.
    await bench.send({ id: 'a' });
    await bench.worker.start();
    await turn();
    await bench.send({ id: 'b' });
    expect(started).toEqual(['b']);
    await bench.clock.advance(1_000);
    expect(bench.committed()).toBe(2n);
    // Remembered for ten minutes from when it was read.
    await bench.clock.advance(598_000);
    await bench.send({ id: 'a' });
    expect(started).toEqual(['b']);
    await bench.clock.advance(2_000);
    await bench.send({ id: 'a' });
    expect(started).toEqual(['b', 'a']);
    await bench.worker.stop();
  });

  test('more than ten minutes before the start is not known', async () => {
    const bench = createBench();
    await bench.cancel('a');
    await bench.clock.advance(600_001);
    bench.worker.handle(METHOD, () => ({}));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    expect(bench.replies()).toMatchObject([{ id: 'a', kind: 'result' }]);
    await bench.worker.stop();
  });

  test('reaches every worker, whoever has its command', async () => {
    const bus = new MemoryTransport();
    const fired: number[] = [];
    const benches = [0, 1].map((n) => {
      const bench = createBench({ group: `group-${n}` }, bus);
      bench.worker.handle(METHOD, (_request, { signal }) => {
        return new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            fired.push(n);
            resolve({});
          });
        });
      });
      return bench;
    });
    for (const { worker } of benches) await worker.start();
    await benches[0]?.send({ id: 'a' });
    await benches[0]?.cancel('a');
    expect(fired.toSorted()).toEqual([0, 1]);
    for (const { worker } of benches) await worker.stop();
  });
});

describe('the control topic', () => {
  test('takes the namespace, and another name; without one nothing is read', async () => {
    const asked: string[] = [];
    for (const controlTopic of [undefined, 'signals', false] as const) {
      const bus = new MemoryTransport();
      const watch = bus.watchTopic.bind(bus);
      bus.watchTopic = (options) => {
        asked.push(options.topic);
        return watch(options);
      };
      const bench = createBench({ namespace: 'test', ...(controlTopic !== undefined && { controlTopic }) }, bus);
      bench.worker.handle(METHOD, () => ({}));
      await bench.worker.start();
      await bench.worker.stop();
    }
    expect(asked).toEqual(['test.sluice.control', 'test.signals']);
  });

  test('that is missing, or cannot be read, is no error, and is looked for again', async () => {
    const bus = new MemoryTransport();
    const watch = bus.watchTopic.bind(bus);
    const answers: ((options: WatchOptions) => Promise<unknown>)[] = [
      async () => null,
      async () => {
        throw new Error('not authorised');
      },
      watch,
    ];
    bus.watchTopic = (options) => answers.shift()?.(options) as ReturnType<typeof watch>;
    const bench = createBench({}, bus);
    const handlers = createGate<object>();
    bench.worker.handle(METHOD, (_request, context) => handlers.wait(context.operationId ?? ''));
    await bench.worker.start();
    for (const id of ['first', 'waits']) await bench.send({ id, key: 'one' });
    // The bus has a clock of its own here: what is cancelled now is seen by whoever looks later.
    await bench.bus.send([{ ...toControlRecord('waits') }]);
    await bench.clock.advance(30_000);
    expect(answers).toEqual([]);
    await handlers.release('first', {});
    expect(handlers.started).toEqual(['first']);
    await bench.worker.stop();
    expect(bench.clock.pendingTimers).toBe(0);
  });

  test('that takes long to be read holds commands back for ten seconds, and no longer', async () => {
    const bus = new MemoryTransport();
    const reading = Promise.withResolvers<null>();
    bus.watchTopic = (() => reading.promise) as never;
    const bench = createBench({}, bus);
    bench.worker.handle(METHOD, () => ({}));
    const started = bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.clock.advance(9_999);
    expect(bench.replies()).toEqual([]);
    await bench.clock.advance(1);
    await started;
    await turn();
    expect(bench.replies()).toMatchObject([{ id: 'a', kind: 'result' }]);
    reading.resolve(null);
    await bench.worker.stop();
    expect(bench.clock.pendingTimers).toBe(0);
  });

  test('may carry records of other kinds, which are passed over', async () => {
    const bench = createBench();
    const handlers = createGate<object>();
    bench.worker.handle(METHOD, (_request, context) => {
      context.signal.addEventListener('abort', () => handlers.started.push('aborted'));
      return handlers.wait('a');
    });
    await bench.worker.start();
    await bench.send({ id: 'a' });
    const record = toControlRecord('a');
    const headers = record.headers.filter(([name]) => name !== 'ce_type');
    await bench.bus.send([{ ...record, headers: [...headers, ['ce_type', encodeText('sluice.operation.paused')]] }]);
    await turn();
    expect(handlers.started).toEqual(['a']);
    await handlers.release('a', {});
    await bench.worker.stop();
  });
});
