import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type Clock, systemClock } from '../../src/runtime/clock.ts';
import { Doors } from '../support/doors.ts';
import { findPlace, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { describeWithBoth } from '../support/real-parts.ts';
import { findFreePorts } from '../support/wait.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 240_000 });

const POLL = { timeout: 60_000, interval: 20 };
/** Of everything that waits for recorded operations; `wiring.ts`. */
const REREAD_MS = 1000;
/** No timer of the gateway but the re-read takes just that long. */
const OTHER = { leases: { heartbeatMs: 500 }, chores: { intervalMs: 700 }, kafka: { replyPartitions: 6 } };
const CALLS = 200;

/** Time for a gateway that never reads again by itself what is waited for. */
function clockWithoutRereads(): Clock & { readonly dropped: () => number } {
  let dropped = 0;
  return {
    ...systemClock,
    dropped: () => dropped,
    setTimer: (run, delayMs) => {
      if (delayMs !== REREAD_MS) return systemClock.setTimer(run, delayMs);
      dropped += 1;
      return () => undefined;
    },
  };
}

describeWithBoth('an operation that another instance began and settles', () => {
  const doors = new Doors();
  const hintsOnly = clockWithoutRereads();
  let a: TestGateway;
  /** Learns by notifications alone. */
  let hinted: TestGateway;
  /** Learns by reading alone: nobody listens where it wants to hear notifications. */
  let deaf: TestGateway;

  beforeAll(async () => {
    const place = await findPlace('servers');
    const work = async (
      { text, key }: { text: string; key?: string },
      context: { progress(said: object): unknown },
    ) => {
      if (key) await doors.pass(`${key} begin`);
      await context.progress({ percent: 50 });
      if (key) await doors.pass(`${key} end`);
      return { text: `${text} done` };
    };
    const options = { stack: 'servers', place, config: OTHER } as const;
    a = await startTestGateway({ ...options, handlers: { Do: work } });
    hinted = await startTestGateway({ ...options, parts: { clock: hintsOnly } });
    const [port] = await findFreePorts(1);
    const store = { listenUrl: `postgres://nobody@127.0.0.1:${port}/nowhere` };
    deaf = await startTestGateway({ ...options, config: { ...OTHER, store }, whole: false });
  });
  afterAll(async () => {
    doors.openAll();
    for (const gateway of [deaf, hinted, a]) await gateway?.close();
  });

  const start = async (text: string, key?: string) => {
    const request = key === undefined ? { text } : { text, key };
    const answer = await a.rest.post('/v1/do', request, { prefer: 'respond-async' });
    expect(answer.status, answer.text).toBe(202);
    return answer.body.id as string;
  };
  const wait = (gateway: TestGateway, id: string, headers: Record<string, string> = {}) =>
    gateway.rest.get(`/operations/${id}`, { prefer: 'wait=60', ...headers });
  const waiting = (gateway: TestGateway) => () => gateway.readMetric('sluice_waiters');

  it('wakes a long poll and WaitOperation by a notification, without reading again and again', async () => {
    const before = hintsOnly.dropped();
    const id = await start('hinted', 'hinted');
    doors.open('hinted begin');
    const poll = wait(hinted, id);
    const overGrpc = hinted.grpc.waitOperation(`operations/${id}`);
    await expect.poll(waiting(hinted), POLL).toBe(2);
    doors.open('hinted end');
    expect((await poll).body).toMatchObject({ state: 'succeeded', result: { text: 'hinted done' } });
    expect((await overGrpc).value).toMatchObject({ done: true });
    // Else the test would not say what it means to.
    expect(hintsOnly.dropped()).toBeGreaterThan(before);
  });

  it('shows its progress to a long poll by a notification', async () => {
    const id = await start('progress', 'progress');
    await expect.poll(() => doors.isReached('progress begin'), POLL).toBe(true);
    // The worker's sign of life is in: nothing but its progress can end the long poll any more.
    await expect.poll(async () => (await hinted.rest.get(`/operations/${id}`)).body.state, POLL).toBe('running');
    let etag = (await hinted.rest.get(`/operations/${id}`)).headers.get('etag')!;
    const next = async () => {
      const answer = await wait(hinted, id, { 'if-none-match': etag });
      expect(answer.status).toBe(200);
      etag = answer.headers.get('etag')!;
      return answer.body;
    };
    const seen = next();
    await expect.poll(waiting(hinted), POLL).toBe(1);
    doors.open('progress begin');
    for (let document = await seen; document.progress?.percent !== 50; document = await next()) {
      expect(document.done).toBe(false);
    }
    doors.open('progress end');
    expect((await hinted.rest.follow(id)).body.state).toBe('succeeded');
  });

  it('does not make an instance unready that cannot LISTEN, but degraded, and says so', async () => {
    const { status, body } = await deaf.management.get('/health/ready');
    expect([status, body.status]).toEqual([200, 'degraded']);
    expect(body.degraded).toHaveLength(1);
    expect(body.degraded[0]).toMatch(/LISTEN/);
    expect((await hinted.management.get('/health/ready')).body).toMatchObject({ status: 'ready', degraded: [] });
  });

  it('is found by reading again where LISTEN does not work', async () => {
    const id = await start('deaf', 'deaf');
    doors.open('deaf begin');
    const poll = wait(deaf, id);
    const overGrpc = deaf.grpc.waitOperation(`operations/${id}`);
    await expect.poll(waiting(deaf), POLL).toBe(2);
    doors.open('deaf end');
    expect((await poll).body).toMatchObject({ state: 'succeeded', result: { text: 'deaf done' } });
    expect((await overGrpc).value).toMatchObject({ done: true });
  });

  it.each([
    ['by notifications', () => hinted],
    ['by reading', () => deaf],
  ])(`${CALLS} of them are seen by those who wait elsewhere, %s`, async (name, choose) => {
    const texts = Array.from({ length: CALLS }, (_, index) => `${name} ${index}`);
    const polls = await Promise.all(texts.map(async (text) => wait(choose(), await start(text))));
    expect(polls.map(({ body }) => body.result?.text)).toEqual(texts.map((text) => `${text} done`));
    expect(polls.every(({ body }) => body.state === 'succeeded')).toBe(true);
  });
});
