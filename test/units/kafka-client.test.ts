import { createRequire } from 'node:module';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createKafkaClient } from '../../src/channel/kafka-client.ts';
import type { KafkaConnectionConfig } from '../../src/channel/kafka-config.ts';
import { calmRequestQueue } from '../../src/channel/kafka-request-queue.ts';
import { type Logger, silentLogger } from '../../src/runtime/log.ts';
import { calmRequestQueue as calmAsWorker } from '../../worker/src/kafka-request-queue.ts';

const load = createRequire(import.meta.url);

describe("kafkajs's request queue", () => {
  const path = 'kafkajs/src/network/requestQueue/index.js';
  const quiet = { debug: () => undefined, namespace: () => quiet };
  const options = { maxInFlightRequests: 1, requestTimeout: 1000, enforceRequestTimeout: false, logger: quiet };
  const makeQueue = () => {
    calmRequestQueue();
    const RequestQueue = load(path);
    return new RequestQueue(options);
  };
  /** A copy of the module as it comes, which nobody has changed. */
  const loadAnew = () => {
    const file = load.resolve(path);
    const known = load.cache[file];
    delete load.cache[file];
    const fresh = load(path);
    load.cache[file] = known;
    return fresh;
  };
  const makeRequest = (correlationId: number, sendRequest = () => {}) => ({
    entry: { correlationId, apiName: 'x', resolve: () => undefined, reject: () => undefined },
    expectResponse: true,
    sendRequest,
  });
  afterEach(() => void vi.useRealTimers());

  it('leaves no timer behind when nothing waits', () => {
    vi.useFakeTimers();
    const queue = makeQueue();
    queue.push(makeRequest(1));
    queue.fulfillRequest({ correlationId: 1, payload: null, size: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('still sends what waited for the end of a throttle', () => {
    vi.useFakeTimers();
    const queue = makeQueue();
    const sent = vi.fn();
    queue.maybeThrottle(500);
    queue.push(makeRequest(1, sent));
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(499);
    expect(sent).not.toHaveBeenCalled();
    vi.advanceTimersByTime(30);
    expect(sent).toHaveBeenCalledOnce();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('arms no timer with a negative delay, which Node 24 warns of', () => {
    const arm = vi.spyOn(globalThis, 'setTimeout');
    const queue = makeQueue();
    queue.push(makeRequest(1));
    queue.push(makeRequest(2));
    queue.fulfillRequest({ correlationId: 1, payload: null, size: 0 });
    queue.fulfillRequest({ correlationId: 2, payload: null, size: 0 });
    queue.destroy();
    expect(arm.mock.calls.map(([, delayMs]) => delayMs)).toEqual([10]);
    arm.mockRestore();
  });

  it.each([
    ['gateway, then worker', [calmRequestQueue, calmAsWorker]],
    ['worker, then gateway', [calmAsWorker, calmRequestQueue]],
    ['worker twice, gateway, worker', [calmAsWorker, calmAsWorker, calmRequestQueue, calmAsWorker]],
    ['worker alone', [calmAsWorker]],
  ])('keeps its promises where both packages are in the process: %s', (_, inThisOrder) => {
    vi.useFakeTimers();
    const RequestQueue = loadAnew();
    for (const calm of inThisOrder) expect(calm(() => RequestQueue)).toBe(true);
    const queue = new RequestQueue(options);
    const sent = vi.fn();
    queue.push(makeRequest(1));
    queue.fulfillRequest({ correlationId: 1, payload: null, size: 0 });
    expect(vi.getTimerCount()).toBe(0);
    queue.maybeThrottle(500);
    queue.push(makeRequest(2, sent));
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(530);
    expect(sent).toHaveBeenCalledOnce();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is left alone where it is not the one that is known', () => {
    const foreign = { prototype: {} };
    expect(calmRequestQueue(() => foreign)).toBe(false);
    expect(foreign).toEqual({ prototype: {} });
    expect(
      calmRequestQueue(() => {
        throw new Error('not found');
      }),
    ).toBe(false);
  });
});

describe('a connection to a broker', () => {
  const config: KafkaConnectionConfig = {
    brokers: [],
    clientId: 'c',
    ssl: false,
    sasl: null,
    connectTimeoutMs: 500,
    requestTimeoutMs: 500,
  };
  let server: Server;
  const accepted: Socket[] = [];
  const listen = () =>
    new Promise<string>((resolve) => {
      server = createServer((socket) => void accepted.push(socket.on('error', () => undefined)));
      server.listen(0, '127.0.0.1', () => resolve(`127.0.0.1:${(server.address() as { port: number }).port}`));
    });
  afterEach(() => {
    for (const socket of accepted.splice(0)) socket.destroy();
    server.close();
  });

  it('has Nagle off and keep-alive on, and is broken on demand', async () => {
    const { Socket: NetSocket } = await import('node:net');
    const noDelay = vi.spyOn(NetSocket.prototype, 'setNoDelay');
    const keepAlive = vi.spyOn(NetSocket.prototype, 'setKeepAlive');
    const brokers = [await listen()];
    const client = createKafkaClient({ ...config, brokers }, silentLogger, { retries: 0 });
    const connecting = client.kafka.admin().connect();
    await vi.waitFor(() => expect(accepted).toHaveLength(1));
    expect(noDelay).toHaveBeenCalledWith(true);
    expect(keepAlive).toHaveBeenCalledWith(true, 60_000);
    client.close();
    await expect(connecting).rejects.toThrow();
    await expect(client.kafka.admin().connect()).rejects.toThrow(/being closed/);
    noDelay.mockRestore();
    keepAlive.mockRestore();
  });

  it("logs kafkajs's lines for debugging only, without stacks", async () => {
    const lines: [string, object, string][] = [];
    const tell = (level: string) => (fields: object, message: string) => void lines.push([level, fields, message]);
    const logger: Logger = {
      debug: tell('debug'),
      info: tell('info'),
      warn: tell('warn'),
      error: tell('error'),
      child: () => logger,
    };
    const brokers = [await listen()];
    const client = createKafkaClient({ ...config, brokers }, logger, { retries: 0 });
    const connecting = client.kafka.admin().connect();
    await vi.waitFor(() => expect(accepted).toHaveLength(1));
    client.close();
    await connecting.catch(() => undefined);
    expect(lines.length).toBeGreaterThan(0);
    expect(new Set(lines.map(([level]) => level))).toEqual(new Set(['debug']));
    expect(lines.some(([, fields]) => 'stack' in fields)).toBe(false);
  });
});
