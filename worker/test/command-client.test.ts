import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CommandClient } from '../src/command-client.ts';
import { CommandCallError, CommandError } from '../src/errors.ts';
import { encodeText, readTextHeader, toTextMap } from '../src/headers.ts';
import { IdSource } from '../src/ids.ts';
import { silentLogger } from '../src/log.ts';
import { MemoryTransport } from '../src/memory-transport.ts';
import { SendError } from '../src/transport.ts';
import { createWorker, type Worker } from '../src/worker.ts';
import { ManualClock, turn } from './support/manual-clock.ts';

const RESERVE = 'stock.v1.Stock/Reserve';
const TOPIC = 'demo.stock.v1.Stock.Reserve';

let bus: MemoryTransport;
let clock: ManualClock;
let client: CommandClient;
const workers: Worker[] = [];

beforeEach(async () => {
  bus = new MemoryTransport();
  clock = new ManualClock();
  client = new CommandClient({
    transport: bus,
    name: 'orders',
    namespace: 'demo',
    clock,
    logger: silentLogger,
    maxPending: 2,
  });
  await client.start();
});

afterEach(async () => {
  await client.close();
  for (const worker of workers.splice(0)) await worker.stop();
  expect(clock.pendingTimers).toBe(0);
});

async function serve(method: string, handler: Parameters<Worker['handle']>[1]): Promise<void> {
  const worker = createWorker({ transport: bus, group: 'stock', namespace: 'demo', clock, logger: silentLogger });
  workers.push(worker.handle(method, handler));
  await worker.start();
}

describe('names of topics', () => {
  test('take the namespace, also those given: the gateway does the same with a policy', async () => {
    const worker = createWorker({ transport: bus, group: 'stock', namespace: 'demo', clock, logger: silentLogger });
    workers.push(worker.handle(RESERVE, () => ({ served: true }), { topic: 'shared' }));
    await worker.start();
    const caller = new CommandClient({
      transport: bus,
      name: 'caller',
      namespace: 'demo',
      topics: { [RESERVE]: 'shared' },
      replyTopic: 'answers',
      clock,
      logger: silentLogger,
    });
    await caller.start();
    expect(await caller.call(RESERVE, {})).toEqual({ served: true });
    expect(await client.call(RESERVE, {}, { topic: 'shared' })).toEqual({ served: true });
    expect(bus.records('demo.shared')).toHaveLength(2);
    expect(bus.records('demo.answers')).toHaveLength(1);
    await caller.close();
  });
});

describe('the id of a command', () => {
  test('is a UUIDv7 of its time, later ones greater, unless the caller gives one', async () => {
    await serve(RESERVE, () => ({}));
    for (let count = 0; count < 20; count++) await client.call(RESERVE, {});
    await client.call(RESERVE, {}, { id: 'mine' });
    const ids = bus.records(TOPIC).map((record) => readTextHeader(record.headers, 'ce_id') ?? '');
    expect(ids.pop()).toBe('mine');
    expect(ids).toEqual([...new Set(ids)].sort());
    for (const id of ids) {
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)).toBe(clock.nowMs());
    }
  });

  test('stays in order past what one millisecond holds, and when the clock steps back', () => {
    let nowMs = 1_000;
    const ids = new IdSource({ nowMs: () => nowMs, setTimer: () => () => {} });
    const made = Array.from({ length: 5_000 }, () => ids.next());
    nowMs = 500;
    made.push(ids.next());
    expect(made).toEqual([...new Set(made)].sort());
  });
});

describe('a command of another service', () => {
  test('is answered with its result', async () => {
    await serve(RESERVE, (request) => ({ reserved: request }));
    expect(await client.call(RESERVE, { sku: 'BOOK' })).toEqual({ reserved: { sku: 'BOOK' } });
  });

  test('that is refused throws the code, message and details of the other worker', async () => {
    await serve(RESERVE, () => {
      throw new CommandError('FAILED_PRECONDITION', 'sold out', [{ sku: 'BOOK' }]);
    });
    const error = await client.call(RESERVE, {}).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CommandCallError);
    expect(error).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: 'sold out',
      details: [{ sku: 'BOOK' }],
      delivery: 'failed',
    });
  });

  test('that nobody answers is DEADLINE_EXCEEDED, unknown, at its timeout', async () => {
    const call = client.call(RESERVE, {}, { timeoutMs: 2_000 }).catch((caught: unknown) => caught);
    await turn();
    await clock.advance(2_000);
    expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED', delivery: 'unknown' });
  });

  test('reports progress before its result', async () => {
    const seen: unknown[] = [];
    await serve(RESERVE, async (_request, context) => {
      await context.progress({ percent: 50 });
      return {};
    });
    await client.call(RESERVE, {}, { onProgress: (progress) => seen.push(progress) });
    expect(seen).toEqual([{ percent: 50 }]);
  });

  test('carries the headers of the wire, and takes trace, hops and deadline from the handler that calls', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    await serve(RESERVE, () => ({}));
    await serve('orders.v1.Orders/Create', async (_request, context) =>
      client.call(RESERVE, { sku: 'BOOK' }, { context, id: `${context.operationId}.reserve`, key: 'BOOK' }),
    );
    const deadline = new Date(clock.nowMs() + 5_000).toISOString();
    const headers = { ce_id: 'op1', ce_type: 'orders.v1.Orders.Create', ce_expirytime: deadline, traceparent };
    await bus.send([
      {
        topic: 'demo.orders.v1.Orders.Create',
        key: null,
        value: encodeText('{}'),
        headers: Object.entries({ ...headers, 'sluice-hops': '1' }).map(([name, text]) => [name, encodeText(text)]),
      },
    ]);
    await turn();
    const [record] = bus.records(TOPIC);
    expect(Object.fromEntries(toTextMap(record?.headers ?? []))).toEqual({
      ce_specversion: '1.0',
      ce_id: 'op1.reserve',
      ce_source: 'sluice://demo/worker/orders',
      ce_type: 'stock.v1.Stock.Reserve',
      ce_time: new Date(clock.nowMs()).toISOString(),
      ce_expirytime: deadline,
      'content-type': 'application/json',
      kafka_correlationId: expect.stringMatching(/^[0-9a-f-]{36}\.w$/),
      kafka_replyTopic: 'demo.worker-replies.orders',
      traceparent,
      'sluice-attempt': '1',
      'sluice-hops': '2',
    });
    expect(readTextHeader([['x', record?.key as Uint8Array]], 'x')).toBe('BOOK');
  });

  test('is refused, not sent, past eight hops: two services that call each other stop', async () => {
    const context = { hops: 8, trace: {}, deadlineMs: null } as never;
    await expect(client.call(RESERVE, {}, { context })).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
      delivery: 'not_sent',
    });
    expect(bus.records(TOPIC)).toEqual([]);
  });

  test('is refused, not sent, while as many as may wait do', async () => {
    const waiting = [client.call(RESERVE, {}), client.call(RESERVE, {})].map((call) => call.catch((error) => error));
    await expect(client.call(RESERVE, {})).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED', delivery: 'not_sent' });
    await client.close();
    expect(await Promise.all(waiting)).toMatchObject([{ delivery: 'unknown' }, { delivery: 'unknown' }]);
  });

  test('that the bus refuses is not_sent where no broker can have it', async () => {
    bus.send = () => Promise.reject(new SendError('unknown_topic', 'no such topic', { maybeSent: false }));
    await expect(client.call(RESERVE, {})).rejects.toMatchObject({ code: 'UNAVAILABLE', delivery: 'not_sent' });
  });

  test('whose caller gives up rejects with the reason of its signal', async () => {
    const controller = new AbortController();
    const call = client.call(RESERVE, {}, { signal: controller.signal });
    controller.abort(new Error('regret'));
    await expect(call).rejects.toThrow('regret');
  });
});
