import { afterEach, describe, expect, test } from 'vitest';
import type { CommandContext } from '../src/context.ts';
import { type Bench, createBench, createGate, METHOD } from './support/bench.ts';

let bench: Bench;
const gate = () => createGate<object>();

async function start(handlers: ReturnType<typeof gate>, options: Parameters<typeof createBench>[0] = {}) {
  bench = createBench(options);
  bench.worker.handle(METHOD, (_request, context: CommandContext) => handlers.wait(context.operationId ?? ''));
  await bench.worker.start();
}

afterEach(() => bench.worker.stop({ timeoutMs: 1, graceMs: 1 }).catch(() => {}));
afterEach(() => bench.clock.advance(10));

describe('order and concurrency', () => {
  test('commands of one key run one after the other, in the order of their records', async () => {
    const handlers = gate();
    await start(handlers);
    for (const id of ['a1', 'a2', 'a3']) await bench.send({ id, key: 'a' });
    expect(handlers.started).toEqual(['a1']);
    await handlers.release('a1', {});
    expect(handlers.started).toEqual(['a1', 'a2']);
    await handlers.release('a2', {});
    expect(handlers.started).toEqual(['a1', 'a2', 'a3']);
    await handlers.release('a3', {});
  });

  test('a slow key does not hold back another one', async () => {
    const handlers = gate();
    await start(handlers);
    await bench.send({ id: 'a1', key: 'a' });
    await bench.send({ id: 'a2', key: 'a' });
    await bench.send({ id: 'b1', key: 'b' });
    expect(handlers.started).toEqual(['a1', 'b1']);
    await handlers.release('b1', {});
    expect(bench.replies().map((reply) => reply.id)).toEqual(['b1']);
    await handlers.release('a1', {});
    await handlers.release('a2', {});
  });

  test('at most `concurrency` commands run at once', async () => {
    const handlers = gate();
    await start(handlers, { concurrency: 2 });
    for (const id of ['a', 'b', 'c', 'd']) await bench.send({ id });
    expect(handlers.started).toEqual(['a', 'b']);
    await handlers.release('b', {});
    expect(handlers.started).toEqual(['a', 'b', 'c']);
    for (const id of ['a', 'c', 'd']) await handlers.release(id, {});
    expect(bench.replies()).toHaveLength(4);
  });

  test('fetching pauses at the bound of what is in flight, and goes on at half of it', async () => {
    const handlers = gate();
    await start(handlers, { maxInFlight: 2 });
    for (const id of ['a', 'b', 'c']) await bench.send({ id });
    expect(handlers.started).toEqual(['a', 'b']);
    await handlers.release('a', {});
    expect(handlers.started).toEqual(['a', 'b', 'c']);
    for (const id of ['b', 'c']) await handlers.release(id, {});
  });

  test('commands without a key have no order among them', async () => {
    const handlers = gate();
    await start(handlers);
    await bench.send({ id: 'a', key: null });
    await bench.send({ id: 'b', key: null });
    expect(handlers.started).toEqual(['a', 'b']);
    for (const id of ['a', 'b']) await handlers.release(id, {});
  });
});
