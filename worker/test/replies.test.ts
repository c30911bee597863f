import { describe, expect, test } from 'vitest';
import type { CommandContext } from '../src/context.ts';
import { CommandError } from '../src/errors.ts';
import { decodeText, readReplyPartition, replyPartitionHeaders } from '../src/headers.ts';
import type { WorkerOptions } from '../src/worker-options.ts';
import { createBench, createGate, METHOD, REPLIES, TOPIC } from './support/bench.ts';
import { turn } from './support/manual-clock.ts';

/** Answers one command by `handler` and returns the replies. */
async function answer(
  handler: (request: Record<string, unknown>, context: CommandContext) => unknown,
  command: Partial<Parameters<ReturnType<typeof createBench>['send']>[0]> = {},
  options: Partial<WorkerOptions> = {},
) {
  const bench = createBench(options);
  bench.worker.handle(METHOD, handler);
  await bench.worker.start();
  await bench.send({ id: 'a', ...command });
  await bench.worker.stop();
  return bench.replies();
}

describe('replies', () => {
  test('a result carries the correlation id as it came, the value, and the status and headers that were asked for', async () => {
    const replies = await answer(
      (request, context) => {
        context.setStatus(201);
        context.setHeader('ETag', '"7"');
        context.setTrailer('cost', '3');
        return { got: request['sku'] };
      },
      { value: { sku: 'BOOK' }, headers: { kafka_correlationId: 'any thing' } },
    );
    expect(replies).toMatchObject([{ id: 'any thing', kind: 'result', value: { got: 'BOOK' } }]);
    const headers = Object.fromEntries(replies[0]?.headers ?? []);
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'sluice-http-status': '201',
      'sluice-header-etag': '"7"',
      'sluice-trailer-cost': '3',
    });
  });

  test('a CommandError becomes an error reply with its code, message and details', async () => {
    const details = [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'SOLD_OUT' }];
    const replies = await answer(() => {
      throw new CommandError('FAILED_PRECONDITION', 'sold out', details);
    });
    expect(replies).toMatchObject([
      {
        kind: 'error',
        code: 'FAILED_PRECONDITION',
        value: { code: 'FAILED_PRECONDITION', message: 'sold out', details },
      },
    ]);
  });

  test('any other error becomes INTERNAL, and its message is told to nobody', async () => {
    const replies = await answer(() => {
      throw new Error('password is hunter2');
    });
    expect(replies).toMatchObject([{ kind: 'error', code: 'INTERNAL' }]);
    expect(JSON.stringify(replies)).not.toContain('hunter2');
  });

  test('with exposeErrors the message is told', async () => {
    const fail = () => {
      throw new Error('column "sku" does not exist');
    };
    const replies = await answer(fail, {}, { exposeErrors: true });
    expect(JSON.stringify(replies)).toContain('does not exist');
  });

  test('a response that cannot be written is INTERNAL, not silence', async () => {
    const replies = await answer(() => ({ big: 1n }));
    expect(replies).toMatchObject([{ kind: 'error', code: 'INTERNAL' }]);
  });

  test('a value that is not JSON is INVALID_ARGUMENT, an unknown content type UNIMPLEMENTED', async () => {
    expect(await answer(() => ({}), { headers: { 'content-type': 'application/avro' } })).toMatchObject([
      { kind: 'error', code: 'UNIMPLEMENTED' },
    ]);
    const bench = createBench();
    bench.worker.handle(METHOD, () => ({}));
    await bench.worker.start();
    const record = (await import('./support/bench.ts')).toRecord({ id: 'a' });
    await bench.bus.send([{ ...record, value: new TextEncoder().encode('{broken') }]);
    await expect.poll(() => bench.replies()).toMatchObject([{ kind: 'error', code: 'INVALID_ARGUMENT' }]);
    await bench.worker.stop();
  });

  test('an unknown method on a shared topic is answered with UNIMPLEMENTED', async () => {
    const bench = createBench();
    bench.worker.handle(METHOD, () => ({ served: 'Buy' }), { topic: 'shared' });
    bench.worker.handle('shop.v1.Shop/Sell', () => ({ served: 'Sell' }), { topic: 'shared' });
    await bench.worker.start();
    for (const method of ['Buy', 'Sell', 'Steal']) {
      await bench.send({ id: method, type: `shop.v1.Shop.${method}`, topic: 'shared' });
    }
    expect(bench.replies()).toMatchObject([
      { id: 'Buy', value: { served: 'Buy' } },
      { id: 'Sell', value: { served: 'Sell' } },
      { id: 'Steal', kind: 'error', code: 'UNIMPLEMENTED' },
    ]);
    await bench.clock.advance(200);
    expect(bench.bus.committed('shop', 'shared')).toBe(3n);
    await bench.worker.stop();
  });

  test('a one-way command is run, and answered by nothing', async () => {
    let runs = 0;
    const replies = await answer(() => ({ runs: ++runs }), { oneWay: true });
    expect(runs).toBe(1);
    expect(replies).toEqual([]);
  });

  test('nothing returned is an empty result', async () => {
    expect(await answer(() => undefined)).toMatchObject([{ kind: 'result', value: null }]);
  });

  test('progress is reported before the result; while one report is on its way only the latest is kept', async () => {
    const replies = await answer(async (_request, context) => {
      void context.progress({ percent: 10 });
      void context.progress({ percent: 20 });
      await context.progress({ percent: 30, message: 'nearly' });
      return {};
    });
    expect(replies.map(({ kind, value }) => [kind, (value as { percent?: number } | null)?.percent])).toEqual([
      ['progress', 10],
      ['progress', 30],
      ['result', undefined],
    ]);
  });

  test('a percentage above 100, a status of an error and a header with a line break are refused', async () => {
    const seen: unknown[] = [];
    await answer((_request, context) => {
      for (const wrong of [
        () => context.setStatus(404),
        () => context.setHeader('x', 'a\r\nb'),
        () => context.setHeader('a b', 'c'),
        () => void context.progress({ percent: 101 }),
      ]) {
        try {
          wrong();
        } catch (error) {
          seen.push((error as Error).name);
        }
      }
    });
    expect(seen).toEqual(['RangeError', 'TypeError', 'TypeError', 'RangeError']);
  });

  test('a handler sees attempt, principal, trace, hops, deadline and headers of its command', async () => {
    const deadlineMs = Date.UTC(2030, 0, 1);
    let seen: CommandContext | undefined;
    const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    await answer(
      (_request, context) => {
        seen = context;
      },
      {
        deadlineMs,
        headers: { 'sluice-attempt': '2', 'sluice-principal': 'ann', traceparent: trace, 'sluice-hops': '1', own: 'x' },
      },
    );
    expect(seen).toMatchObject({
      method: METHOD,
      operationId: 'a',
      attempt: 2,
      principal: 'ann',
      hops: 1,
      deadlineMs,
      trace: { traceparent: trace, tracestate: null },
    });
    expect(seen?.deadline?.getTime()).toBe(deadlineMs);
    expect(seen?.headers.get('own')).toBe('x');
    expect(seen?.headers.get('ce_type')).toBe(TOPIC);
  });

  test('the reply partition is read as text, as four bytes, or as both', () => {
    const both = replyPartitionHeaders(31);
    expect(readReplyPartition(both)).toBe(31);
    expect(readReplyPartition(both.slice(0, 1))).toBe(31);
    expect(readReplyPartition(both.slice(1))).toBe(31);
    expect(readReplyPartition([])).toBeNull();
    expect(readReplyPartition([['kafka_replyPartition', new TextEncoder().encode('1234')]])).toBe(1234);
    expect(readReplyPartition([['kafka_replyPartition', new TextEncoder().encode('four')]])).toBeNull();
  });
});

describe('the offset of a command', () => {
  test('moves only once its reply is acknowledged, and holds back those behind it', async () => {
    const bench = createBench();
    const acknowledge = new Map<string, () => void>();
    const send = bench.bus.send.bind(bench.bus);
    bench.worker.handle(METHOD, () => ({}));
    await bench.worker.start();
    bench.bus.send = async (records) => {
      await send(records);
      const id = decodeText(records[0]?.key ?? new Uint8Array());
      if (records[0]?.topic === REPLIES) await new Promise<void>((resolve) => acknowledge.set(id, resolve));
    };
    for (const id of ['a', 'b']) await bench.send({ id });
    await bench.clock.advance(1_000);
    expect(bench.replies()).toHaveLength(2);
    expect(bench.committed()).toBe(0n);
    acknowledge.get('b')?.();
    await bench.clock.advance(1_000);
    expect(bench.committed()).toBe(0n);
    acknowledge.get('a')?.();
    await bench.clock.advance(1_000);
    expect(bench.committed()).toBe(2n);
    await bench.worker.stop();
  });
});

describe('signs of life', () => {
  test('`accepted` is sent once a command has run 500 ms, and once only', async () => {
    const handlers = createGate<object>();
    const bench = createBench();
    bench.worker.handle(METHOD, async (_request, context) => {
      const result = await handlers.wait('a');
      await context.accepted();
      return result;
    });
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.clock.advance(499);
    expect(bench.replies()).toEqual([]);
    await bench.clock.advance(1);
    expect(bench.replies()).toMatchObject([{ id: 'a', kind: 'accepted', value: null }]);
    await bench.clock.advance(5_000);
    await handlers.release('a', {});
    expect(bench.replies().map((reply) => reply.kind)).toEqual(['accepted', 'result']);
    await bench.worker.stop();
  });

  test('`accepted` is sent for a command that only waits, too', async () => {
    const handlers = createGate<object>();
    const bench = createBench({ concurrency: 1 });
    bench.worker.handle(METHOD, (_request, context) => handlers.wait(context.operationId ?? ''));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.send({ id: 'b' });
    await bench.clock.advance(500);
    expect(handlers.started).toEqual(['a']);
    expect(bench.replies()).toMatchObject([
      { id: 'a', kind: 'accepted' },
      { id: 'b', kind: 'accepted' },
    ]);
    await handlers.release('a', {});
    await handlers.release('b', {});
    await bench.worker.stop();
  });

  test("`accepted` is sent again every third of `redeliver_after`, the method's before the worker's, until the answer", async () => {
    const handlers = createGate<object>();
    const bench = createBench({ redeliverAfterMs: 60_000 });
    bench.worker.handle(METHOD, () => handlers.wait('a'), { redeliverAfterMs: 3_000 });
    bench.worker.handle('shop.v1.Shop/Sell', () => handlers.wait('b'), { topic: TOPIC });
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.send({ id: 'b', type: 'shop.v1.Shop.Sell' });
    const signs = (id: string) =>
      bench.replies().filter((reply) => reply.id === id && reply.kind === 'accepted').length;
    await bench.clock.advance(500);
    expect([signs('a'), signs('b')]).toEqual([1, 1]);
    await bench.clock.advance(999);
    expect(signs('a')).toBe(1);
    await bench.clock.advance(1);
    expect(signs('a')).toBe(2);
    await bench.clock.advance(19_000);
    expect([signs('a'), signs('b')]).toEqual([21, 2]);
    for (const id of ['a', 'b']) await handlers.release(id, {});
    await bench.clock.advance(60_000);
    expect([signs('a'), signs('b')]).toEqual([21, 2]);
    await bench.worker.stop();
    expect(bench.clock.pendingTimers).toBe(0);
  });

  test('progress counts as a sign: the next `accepted` is a third of `redeliver_after` after it', async () => {
    const handlers = createGate<object>();
    let report: (() => Promise<void>) | undefined;
    const bench = createBench({ redeliverAfterMs: 30_000 });
    bench.worker.handle(METHOD, (_request, context) => {
      report = () => context.progress({ percent: 50 });
      return handlers.wait('a');
    });
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.clock.advance(9_000);
    await report?.();
    await bench.clock.advance(9_999);
    expect(bench.replies().map(({ kind }) => kind)).toEqual(['accepted', 'progress']);
    await bench.clock.advance(1);
    expect(bench.replies().map(({ kind }) => kind)).toEqual(['accepted', 'progress', 'accepted']);
    await handlers.release('a', {});
    await bench.worker.stop();
  });

  test('a bus that is down gathers one `accepted` a command, however long', async () => {
    const handlers = createGate<object>();
    const bench = createBench({ redeliverAfterMs: 3_000 });
    const held: (() => void)[] = [];
    const send = bench.bus.send.bind(bench.bus);
    bench.worker.handle(METHOD, () => handlers.wait('a'));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    bench.bus.send = (records) => new Promise((resolve) => held.push(() => resolve(send(records))));
    await bench.clock.advance(60_000);
    expect(held).toHaveLength(1);
    held[0]?.();
    await turn();
    await bench.clock.advance(1_000);
    expect(held).toHaveLength(2);
    bench.bus.send = send;
    held[1]?.();
    await handlers.release('a', {});
    await bench.worker.stop();
  });

  test('a command answered in time sends no `accepted`, then or later', async () => {
    const bench = createBench();
    bench.worker.handle(METHOD, () => ({}));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.clock.advance(5_000);
    expect(bench.replies().map((reply) => reply.kind)).toEqual(['result']);
    await bench.worker.stop();
  });
});
