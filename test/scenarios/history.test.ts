import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type CommandContext, CommandError } from '@sluice/worker';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Doors } from '../support/doors.ts';
import { describeOnBothStacks, findPlace, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { query } from '../support/postgres-server.ts';
import { startRawWorker } from '../support/raw-worker.ts';
import { FollowedHistory } from './support/followed-history.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 240_000 });

const POLL = { timeout: 60_000, interval: 20 };
const SLUICE = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));
const LONG = { wait: '30s', max_wait: '30s' };
const ASYNC = { prefer: 'respond-async' };

interface EventDocument {
  readonly number: number;
  readonly type: string;
  readonly time: string;
  readonly late: boolean;
}

describeOnBothStacks('the history of an operation', (stack) => {
  const doors = new Doors();
  const followed: FollowedHistory[] = [];
  let a: TestGateway;
  /** On the servers another instance, else the same one. */
  let b: TestGateway;

  const work = async ({ text, key }: { text: string; key?: string }, context: CommandContext) => {
    for (const percent of [25, 75]) {
      if (key) await doors.pass(`${key} ${percent}`);
      await context.progress({ percent, message: `${text} at ${percent}` });
    }
    if (key) await doors.pass(`${key} end`);
    if (text === 'refused') throw new CommandError('FAILED_PRECONDITION', 'sold out');
    return { text };
  };

  beforeAll(async () => {
    const place = await findPlace(stack);
    const config = { http: { pollAfterMs: 50 }, leases: { heartbeatMs: 500 }, chores: { intervalMs: 200 } };
    // Nobody reads the commands of HurryLong.
    const policies = { Do: LONG, Make: LONG, HurryLong: { ...LONG, wait: '1s', timeout: '1s' } };
    const options = { stack, place, config, policies };
    a = await startTestGateway({ ...options, handlers: { Do: work, TellKept: () => undefined } });
    b = stack === 'servers' ? await startTestGateway(options) : a;
    const raw = { topics: [a.topicOf('Make')], group: `${place.namespace}.raw` };
    await startRawWorker(a.transport, raw, async (command) => {
      await command.reply({ value: '{"text":"first"}' });
      await command.reply({ value: '{"text":"second"}' });
      await command.reply({ value: '{"code":"NOT_FOUND"}', headers: { 'sluice-kind': 'error' } });
    });
  });
  afterAll(async () => {
    doors.openAll();
    for (const each of followed) each.close();
    if (b !== a) await b?.close();
    await a?.close();
  });

  const pathOf = (id: string) => `/operations/${id}/events`;
  const read = async (id: string): Promise<EventDocument[]> => (await b.rest.get(pathOf(id))).body.events;
  const promise = async (path: string, body: object, headers: Record<string, string> = ASYNC): Promise<string> => {
    const answer = await a.rest.post(path, body, headers);
    expect(answer.status, answer.text).toBe(202);
    return answer.body.id;
  };
  const follow = (id: string, gateways = [a], lastEventId?: string): FollowedHistory => {
    const urls = gateways.map(({ rest }) => rest.url);
    const history = new FollowedHistory(urls, pathOf(id), lastEventId);
    followed.push(history);
    return history;
  };

  it('has every event with its number, in order, and agrees with the status document', async () => {
    const id = await promise('/v1/do', { text: 'ordered', key: 'ordered' });
    for (const door of ['25', '75', 'end']) doors.open(`ordered ${door}`);
    const status = await a.rest.follow(id);
    const page = (await b.rest.get(pathOf(id))).body;
    const events: EventDocument[] = page.events;
    expect(events.map(({ number }) => number)).toEqual(events.map((_, index) => index + 1));
    expect(events.map(({ time }) => time)).toEqual(events.map(({ time }) => time).toSorted());
    expect(events.every(({ late }) => !late)).toBe(true);
    expect(events[0]?.type).toBe('accepted');
    expect(events.at(-1)?.type).toBe('succeeded');
    expect(status.headers.get('etag')).toBe(`W/"${id}.${events.length}"`);
    const progressed = events.filter(({ type }) => type === 'progressed');
    expect(progressed.at(-1)).toMatchObject({ progress: { percent: 75, message: 'ordered at 75' } });
    expect(page.nextAfter).toBeNull();
  });

  it('is given in pages that leave nothing out', async () => {
    const id = await promise('/v1/do', { text: 'paged' });
    await a.rest.follow(id);
    const whole = await read(id);
    const paged: EventDocument[] = [];
    for (let after: number | null = 0; after !== null; ) {
      const { body } = await b.rest.get(`${pathOf(id)}?after=${after}&page_size=1`);
      expect(body.events.length).toBeLessThanOrEqual(1);
      paged.push(...body.events);
      after = body.nextAfter;
    }
    expect(paged).toEqual(whole);
  });

  it('says why an operation failed', async () => {
    const id = await promise('/v1/do', { text: 'refused' });
    await a.rest.follow(id);
    const error = { code: 'COMMAND_FAILED', delivery: 'failed', detail: 'sold out' };
    expect((await read(id)).at(-1)).toMatchObject({ type: 'failed', error });
  });

  it('marks as late what came after the end', async () => {
    const id = await promise('/v1/make', { text: 'thrice' });
    const ends = async () => (await read(id)).filter(({ type }) => type === 'succeeded' || type === 'failed');
    await expect.poll(async () => (await ends()).length, POLL).toBe(3);
    expect((await ends()).map(({ type, late }) => [type, late])).toEqual([
      ['succeeded', false],
      ['succeeded', true],
      ['failed', true],
    ]);
    const { body } = await a.rest.get(`/operations/${id}`);
    expect(body).toMatchObject({ state: 'succeeded', result: { text: 'first' } });
  });

  it('is followed live by an EventSource until its end event', async () => {
    const id = await promise('/v1/do', { text: 'live', key: 'live' });
    const history = follow(id, [b]);
    await expect.poll(() => history.types, POLL).toContain('accepted');
    for (const percent of ['25', '75']) {
      expect(history.seen.some(({ data }) => data.progress?.percent === Number(percent))).toBe(false);
      doors.open(`live ${percent}`);
      await expect
        .poll(() => history.seen.some(({ data }) => data.progress?.percent === Number(percent)), POLL)
        .toBe(true);
    }
    expect(history.types).not.toContain('end');
    doors.open('live end');
    await expect.poll(() => history.isOver, POLL).toBe(true);
    const events = await read(id);
    expect(history.names).toEqual([...events.map(({ number, type }) => `${number} ${type}`), `${events.length} end`]);
    expect(history.seen.slice(0, -1).map(({ data }) => data)).toEqual(events);
    expect(history.seen.at(-1)?.data).toEqual({ state: 'succeeded', version: events.length });
    // The client comes back once, and is told to stay away.
    expect(history.statuses).toEqual([200, 204]);
  });

  it('is taken up by Last-Event-ID where the connection breaks, at another instance too', async () => {
    const id = await promise('/v1/do', { text: 'broken', key: 'broken' });
    const history = follow(id, [a, b]);
    doors.open('broken 25');
    await expect.poll(() => history.types, POLL).toContain('progressed');
    history.cutConnection();
    for (const door of ['75', 'end']) doors.open(`broken ${door}`);
    await expect.poll(() => history.isOver, POLL).toBe(true);
    const events = await read(id);
    expect(history.names).toEqual([...events.map(({ number, type }) => `${number} ${type}`), `${events.length} end`]);
    expect(history.statuses).toEqual([200, 200, 204]);
  });

  it('says that there is a gap where the cursor is none of its events, and begins anew', async () => {
    const id = await promise('/v1/do', { text: 'gap' });
    await a.rest.follow(id);
    const history = follow(id, [b], '99');
    await expect.poll(() => history.isOver, POLL).toBe(true);
    const events = await read(id);
    expect(history.types).toEqual(['gap', ...events.map(({ type }) => type), 'end']);
    expect(history.seen[0]?.data).toEqual({ after: 99, next: 1 });
  });

  it('tells an attempt that an admin asked for', async () => {
    const id = await promise('/v1/do', { text: 'again', key: 'again' });
    await expect.poll(() => doors.isReached('again 25'), POLL).toBe(true);
    const redriven = await b.rest.call('POST', `/operations/${id}:redrive`);
    expect(redriven.status, redriven.text).toBe(200);
    expect(redriven.body).toMatchObject({ attempt: 2, done: false });
    for (const door of ['25', '75', 'end']) doors.open(`again ${door}`);
    expect((await a.rest.follow(id)).body).toMatchObject({ state: 'succeeded', attempt: 2 });
    expect((await read(id)).find(({ type }) => type === 'redriven')).toMatchObject({ attempt: 2, late: false });
  });

  it('ends as expired where nobody answered', async () => {
    const answer = await a.rest.post('/v1/hurry-long', { text: 'nobody' }, { 'idempotency-key': 'nobody' });
    const { id } = answer.body.operation;
    expect((await b.rest.follow(id)).body).toMatchObject({ state: 'expired', error: { delivery: 'unknown' } });
    expect((await read(id)).at(-1)).toMatchObject({ type: 'expired', error: { code: 'OPERATION_EXPIRED' } });
  });

  it('gives every row of this file again: a rebuild finds no difference', async () => {
    const cancelled = await promise('/v1/do', { text: 'cancelled', key: 'cancelled' });
    await b.rest.call('POST', `/operations/${cancelled}:cancel`);
    const promoted = await promise('/v1/do', { text: 'promoted', key: 'promoted' }, { prefer: 'wait=0' });
    for (const key of ['cancelled', 'promoted']) for (const door of ['25', '75', 'end']) doors.open(`${key} ${door}`);
    await a.rest.follow(promoted);
    await a.rest.follow(await promise('/v1/tell-kept', { text: 'told' }, {}));
    const { operations } = (await a.management.get('/operations?page_size=100')).body;
    const states = new Set(operations.map(({ state }: { state: string }) => state));
    expect([...states]).toEqual(expect.arrayContaining(['succeeded', 'failed', 'cancelled', 'expired']));
    const report = await rebuild(b);
    expect(report.differences).toEqual([]);
    expect(report.operations).toBe(operations.length);
    expect(report.events).toBeGreaterThan(report.operations);
    const printed = await promisify(execFile)(process.execPath, [SLUICE, ...REBUILD, '--management', a.managementUrl]);
    expect(printed.stdout).toContain('every row is what its events say');
  });

  // Nobody else reaches the database inside the process.
  if (stack === 'servers') {
    it('shows where a row is not what its events say', async () => {
      const id = await promise('/v1/do', { text: 'forged' });
      await a.rest.follow(id);
      await query(a.place.databaseUrl!, `update sluice.operation set state = 'failed' where id = '${id}'`);
      expect((await rebuild(b)).differences).toMatchObject([{ row: 'failed', rebuilt: 'succeeded', field: 'state' }]);
    });
  }
});

const REBUILD = ['operations', 'rebuild'];

async function rebuild({ management }: TestGateway) {
  const headers = { 'content-type': 'application/json' };
  const answer = await management.call('POST', '/operations:rebuild', { headers });
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
}
