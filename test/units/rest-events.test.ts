import { connect } from 'node:net';
import { EventSource } from 'eventsource';
import { afterEach, describe, expect, test } from 'vitest';
import type { RestOptions } from '../../src/edge/rest/server.ts';
import { Failure } from '../../src/runtime/failure.ts';
import { LiveHistory, StreamReader } from './rest-history.ts';
import { ID, openRig, problemOf, type Rig } from './rest-support.ts';

const PATH = `/operations/${ID}/events`;
const SSE = { accept: 'text/event-stream' };
const closing: (() => void)[] = [];

afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function openWith(
  history: LiveHistory,
  options: Partial<RestOptions> = {},
): Promise<{ rig: Rig; history: LiveHistory }> {
  const rig = await openRig({ pollAfterMs: 10, ...options });
  return { rig, history: history.serve(rig) };
}

function begun(): LiveHistory {
  return new LiveHistory()
    .append({ type: 'accepted' })
    .append(
      { type: 'dispatched', published: { partition: 3, offset: 9_007_199_254_740_993n } },
      { state: 'dispatched' },
    );
}

async function read(rig: Rig, headers: Record<string, string> = {}, path = PATH): Promise<StreamReader> {
  const response = await rig.get(path, { ...SSE, ...headers });
  expect(response.status).toBe(200);
  const reader = new StreamReader(response);
  closing.push(() => void reader.cancel());
  return reader;
}

async function openStreams(rig: Rig): Promise<number> {
  const { text } = await rig.metrics.render();
  return Number(/^sluice_event_streams (\d+)$/m.exec(text)?.[1]);
}

describe('the history as a list', () => {
  test('has each event with what it says', async () => {
    const error = {
      code: 'COMMAND_FAILED' as const,
      grpcCode: 'NOT_FOUND' as const,
      message: 'none',
      details: null,
      delivery: 'failed' as const,
    };
    const deadlineMs = Date.UTC(2026, 0, 1, 0, 5);
    const history = begun()
      .append({ type: 'redriven', afterAttempt: 1, deadlineMs })
      .progress(40)
      .append({ type: 'failed', error }, { state: 'failed' })
      .append({ type: 'succeeded' }, {}, true);
    const { rig } = await openWith(history);
    const response = await rig.get(PATH);
    expect([response.status, response.headers.get('vary')]).toEqual([200, 'Accept']);
    const time = '2026-01-01T00:00:00.000Z';
    expect(await response.json()).toEqual({
      events: [
        { number: 1, type: 'accepted', time, late: false },
        { number: 2, type: 'dispatched', time, late: false, published: { partition: 3, offset: '9007199254740993' } },
        { number: 3, type: 'redriven', time, late: false, attempt: 2, deadline: '2026-01-01T00:05:00.000Z' },
        { number: 4, type: 'progressed', time, late: false, progress: { percent: 40, message: null } },
        {
          number: 5,
          type: 'failed',
          time,
          late: false,
          error: expect.objectContaining({ code: 'COMMAND_FAILED', status: 404, detail: 'none', delivery: 'failed' }),
        },
        { number: 6, type: 'succeeded', time, late: true },
      ],
      nextAfter: null,
    });
  });

  test('is read on from where a page ended, and each event is in one page', async () => {
    const history = begun();
    for (let percent = 0; percent < 300; percent++) history.progress(percent % 100);
    const { rig } = await openWith(history);
    const numbers: number[] = [];
    let after: number | null = 0;
    for (let pages = 0; after !== null && pages < 10; pages++) {
      const page = (await (await rig.get(`${PATH}?after=${after}&page_size=150`)).json()) as {
        events: { number: number }[];
        nextAfter: number | null;
      };
      numbers.push(...page.events.map(({ number }) => number));
      after = page.nextAfter;
    }
    expect(after).toBeNull();
    expect(numbers).toEqual(Array.from({ length: 302 }, (_, index) => index + 1));
  });

  test.each([
    ['?after=-1', {}, { parameter: 'after' }],
    ['?page_size=x', {}, { parameter: 'page_size' }],
    ['?colour=red', {}, { parameter: 'colour' }],
    ['', { ...SSE, 'last-event-id': 'x' }, { header: 'last-event-id' }],
  ])('%s %o is 400 by name', async (query, headers, violation) => {
    const { rig } = await openWith(begun());
    const response = await rig.get(`${PATH}${query}`, headers);
    expect(response.status).toBe(400);
    expect((await problemOf(response))['errors']).toMatchObject([violation]);
  });

  test.each([{}, SSE])('of an operation that is not there is 404, asked with %o', async (headers) => {
    const rig = await openRig();
    for (const path of [PATH, '/operations/x/events']) {
      expect((await rig.get(path, headers)).status).toBe(404);
    }
  });

  test('takes GET, HEAD and OPTIONS only', async () => {
    const { rig, history } = await openWith(begun());
    const refused = await rig.send('POST', PATH);
    expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
    const head = await rig.send('HEAD', PATH, SSE);
    expect([head.status, head.headers.get('content-type'), await head.text()]).toEqual([200, 'text/event-stream', '']);
    expect([history.reads, await openStreams(rig)]).toEqual([0, 0]);
  });

  test.each([
    ['text/event-stream', 'text/event-stream'],
    ['text/event-stream, */*;q=0.1', 'text/event-stream'],
    ['application/json;q=0.5, text/event-stream', 'text/event-stream'],
    ['application/json, text/event-stream', 'application/json'],
    ['*/*', 'application/json'],
    ['text/html', 'application/problem+json'],
  ])('Accept: %s gives %s', async (accept, type) => {
    const { rig } = await openWith(begun().succeed());
    const response = await rig.get(PATH, { accept });
    expect(response.headers.get('content-type')).toBe(type);
    await response.text();
  });
});

describe('the history as a stream', () => {
  test('gives what was, then what comes, then its end', async () => {
    const { rig, history } = await openWith(begun());
    const reader = await read(rig);
    await expect.poll(() => history.waiting).toBe(1);
    expect(reader.types).toEqual(['accepted', 'dispatched']);
    history.progress(10);
    await expect.poll(() => reader.types.at(-1)).toBe('progressed');
    history.succeed();
    await reader.ended;
    expect(reader.events.map(({ id, type }) => [id, type])).toEqual([
      ['1', 'accepted'],
      ['2', 'dispatched'],
      ['3', 'progressed'],
      ['4', 'succeeded'],
      ['4', 'end'],
    ]);
    expect(reader.events[2]?.data).toMatchObject({ number: 3, progress: { percent: 10 } });
    expect(reader.events.at(-1)?.data).toEqual({ state: 'succeeded', version: 4 });
  });

  test('has the headers that keep proxies from gathering it', async () => {
    const { rig } = await openWith(begun().succeed());
    const response = await rig.get(PATH, SSE);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'text/event-stream',
      'x-accel-buffering': 'no',
      'cache-control': 'private, no-cache',
    });
    await response.text();
  });

  test('goes on behind Last-Event-ID, which counts before `after`', async () => {
    const { rig } = await openWith(begun().progress(1).succeed());
    const resumed = await read(rig, { 'last-event-id': '2' }, `${PATH}?after=1`);
    await resumed.ended;
    expect(resumed.types).toEqual(['progressed', 'succeeded', 'end']);
    const first = await read(rig, {}, `${PATH}?after=3`);
    await first.ended;
    expect(first.types).toEqual(['succeeded', 'end']);
  });

  test('is 204 for a reader that has seen the end, so that it comes back no more', async () => {
    const { rig, history } = await openWith(begun().succeed());
    const over = await rig.get(PATH, { ...SSE, 'last-event-id': '3' });
    expect([over.status, await over.text()]).toEqual([204, '']);
    // What comes late is shown, and then it is over again.
    history.append({ type: 'succeeded' }, {}, true);
    const late = await read(rig, { 'last-event-id': '3' });
    await late.ended;
    expect(late.events.map(({ type, data }) => [type, data.late])).toEqual([
      ['succeeded', true],
      ['end', undefined],
    ]);
  });

  test('says that there is a gap where the cursor is ahead, and begins anew', async () => {
    const { rig } = await openWith(begun().succeed());
    const reader = await read(rig, { 'last-event-id': '99' });
    await reader.ended;
    expect(reader.types).toEqual(['gap', 'accepted', 'dispatched', 'succeeded', 'end']);
    expect(reader.events[0]).toMatchObject({ id: '0', data: { after: 99, next: 1 } });
  });

  test('says so where events are no longer held, in the middle and at the end', async () => {
    const history = begun().progress(1).progress(2).progress(3);
    history.events.splice(1, 2);
    const { rig } = await openWith(history);
    const reader = await read(rig);
    await expect.poll(() => history.waiting).toBe(1);
    expect(reader.events.map(({ id, type }) => [id, type])).toEqual([
      ['1', 'accepted'],
      ['3', 'gap'],
      ['4', 'progressed'],
      ['5', 'progressed'],
    ]);
    history.succeed();
    history.events.pop();
    await reader.ended;
    expect(reader.events.slice(4).map(({ id, type }) => [id, type])).toEqual([
      ['6', 'gap'],
      ['6', 'end'],
    ]);
  });

  test('says so where the database was set back behind what was seen', async () => {
    const { rig, history } = await openWith(begun().progress(1));
    const reader = await read(rig);
    await expect.poll(() => history.waiting).toBe(1);
    history.forgetAfter(1);
    await expect.poll(() => reader.types).toEqual(['accepted', 'dispatched', 'progressed', 'gap', 'accepted']);
  });

  test('ends at once where the end is read before the snapshot that has it', async () => {
    const { rig, history } = await openWith(begun());
    const readEvents = rig.readEvents;
    rig.readEvents = (...asked) => {
      if (history.events.length === 2) history.succeed();
      return readEvents(...asked);
    };
    const reader = await read(rig);
    await reader.ended;
    expect(reader.types).toEqual(['accepted', 'dispatched', 'succeeded', 'end']);
  });

  test('sends a comment every 15 seconds without an event', async () => {
    const { rig, history } = await openWith(begun());
    const reader = await read(rig);
    for (const comments of [1, 2]) {
      await expect.poll(() => history.waiting).toBe(1);
      rig.clock.advance(15_000);
      await expect.poll(() => reader.types.filter((type) => type === 'comment')).toHaveLength(comments);
    }
  });

  test('goes on when a store that was away is back', async () => {
    const { rig, history } = await openWith(begun());
    const reader = await read(rig);
    await expect.poll(() => history.waiting).toBe(1);
    history.trouble = new Failure('STORE_UNAVAILABLE', 'away', { retryAfterMs: 1000 });
    history.progress(1);
    await expect.poll(() => history.waiting).toBe(0);
    await expect.poll(() => rig.clock.pendingTimers).toBe(1);
    rig.clock.advance(1000);
    await expect.poll(() => reader.types).toEqual(['accepted', 'dispatched', 'comment', 'progressed']);
  });

  test('ends in good order where nothing can be read any more, and the log has why', async () => {
    const { rig, history } = await openWith(begun());
    const reader = await read(rig);
    await expect.poll(() => history.waiting).toBe(1);
    history.trouble = new Failure('OPERATION_GONE', 'past its retention');
    history.progress(1);
    await reader.ended;
    expect(reader.types).toEqual(['accepted', 'dispatched']);
    expect(rig.lines.at(-1)?.fields).toMatchObject({ route: '/operations/{id}/events', outcome: 'OPERATION_GONE' });
  });

  test('is one line in the log, when it has ended', async () => {
    const { rig, history } = await openWith(begun());
    const reader = await read(rig);
    await expect.poll(() => history.waiting).toBe(1);
    expect(rig.lines).toEqual([]);
    history.succeed();
    await reader.ended;
    await expect.poll(() => rig.lines).toHaveLength(1);
    expect(rig.lines[0]?.fields).toMatchObject({ status: 200, outcome: 'OK', sizeBytes: reader.text.length });
  });
});

describe('streams are bounded', () => {
  test('at the bound one more is 503 with Retry-After; one that ended makes room', async () => {
    const { rig, history } = await openWith(begun(), { maxEventStreams: 2 });
    const first = await read(rig);
    await read(rig);
    const refused = await rig.get(PATH, SSE);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    expect((await problemOf(refused))['code']).toBe('OVERLOADED');
    expect((await rig.get(PATH)).status).toBe(200);
    await first.cancel();
    await expect.poll(() => openStreams(rig)).toBe(1);
    await read(rig);
    history.succeed();
    await expect.poll(() => openStreams(rig)).toBe(0);
  });

  test('nothing is read ahead of a reader that holds back', async () => {
    const history = begun();
    for (let count = 0; count < 900; count++) history.progress(count % 100);
    const { rig } = await openWith(history);
    const response = await rig.get(PATH, SSE);
    const reader = response.body?.getReader();
    expect(history.reads).toBe(0);
    const seen: number[] = [];
    for (let chunk = 0; chunk < 4; chunk++) {
      await reader?.read();
      seen.push(history.reads);
    }
    expect(seen).toEqual([0, 1, 2, 3]);
    await reader?.cancel();
    expect(await openStreams(rig)).toBe(0);
  });

  test('a reader that takes nothing is cut off', async () => {
    const message = 'x'.repeat(65_536);
    const history = begun();
    for (let count = 0; count < 600; count++) {
      history.append({ progress: { percent: 1, message } }, { state: 'running' });
    }
    const { rig } = await openWith(history);
    const { port } = await rig.server.listen();
    const socket = connect(port, '127.0.0.1');
    closing.push(() => socket.destroy());
    socket.on('error', () => undefined);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.pause();
    socket.write(`GET ${PATH} HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n`);
    await expect.poll(() => [history.reads, rig.clock.pendingTimers]).toEqual([1, 1]);
    rig.clock.advance(60_000);
    await expect.poll(() => openStreams(rig)).toBe(0);
    expect(history.reads).toBe(1);
    socket.resume();
    await closed;
  });

  test('a reader that goes away ends its stream and its wait', async () => {
    const { rig, history } = await openWith(begun());
    const { port } = await rig.server.listen();
    const leaving = new AbortController();
    const response = await fetch(`http://127.0.0.1:${port}${PATH}`, { headers: SSE, signal: leaving.signal });
    const reader = new StreamReader(response);
    await expect.poll(() => history.waiting).toBe(1);
    leaving.abort();
    await reader.ended;
    await expect.poll(() => [history.waiting, rig.clock.pendingTimers]).toEqual([0, 0]);
    expect(await openStreams(rig)).toBe(0);
  });

  test('a drain ends them without an end event, and does not wait for their connections', async () => {
    const { rig, history } = await openWith(begun());
    const { port } = await rig.server.listen();
    const response = await fetch(`http://127.0.0.1:${port}${PATH}`, { headers: SSE });
    const reader = new StreamReader(response);
    await expect.poll(() => history.waiting).toBe(1);
    await rig.server.close(60_000);
    await reader.ended;
    expect(reader.types).toEqual(['accepted', 'dispatched']);
  });
});

describe('an EventSource', () => {
  interface Followed {
    readonly source: EventSource;
    readonly seen: string[];
    /** What each connection was answered with. */
    readonly statuses: number[];
  }

  /** Each connection goes to the next of the ports, then to the last. */
  function follow(ports: readonly number[]): Followed {
    const seen: string[] = [];
    const statuses: number[] = [];
    const source = new EventSource(`http://127.0.0.1:${ports[0]}${PATH}`, {
      fetch: async (url, init) => {
        const port = ports[Math.min(statuses.length, ports.length - 1)];
        const response = await fetch(String(url).replace(/:\d+\//, `:${port}/`), init);
        statuses.push(response.status);
        return response;
      },
    });
    closing.push(() => source.close());
    for (const type of ['accepted', 'dispatched', 'progressed', 'succeeded', 'gap', 'end']) {
      source.addEventListener(type, (event) => seen.push(`${event.lastEventId} ${event.type}`));
    }
    return { source, seen, statuses };
  }

  test('sees each event once, and stops by itself after the end', async () => {
    const { rig, history } = await openWith(begun());
    const { port } = await rig.server.listen();
    const { source, seen, statuses } = follow([port]);
    await expect.poll(() => history.waiting).toBe(1);
    history.progress(50).succeed();
    await expect.poll(() => source.readyState).toBe(source.CLOSED);
    expect(seen).toEqual(['1 accepted', '2 dispatched', '3 progressed', '4 succeeded', '4 end']);
    expect(statuses).toEqual([200, 204]);
  });

  test('is taken up by another instance where the first one drains', async () => {
    const history = begun();
    const first = await openWith(history);
    const { port: firstPort } = await first.rig.server.listen();
    const second = await openWith(history);
    const { port: secondPort } = await second.rig.server.listen();
    const { source, seen, statuses } = follow([firstPort, secondPort]);
    await expect.poll(() => seen).toHaveLength(2);
    await first.rig.server.close(60_000);
    history.progress(50);
    await expect.poll(() => seen).toHaveLength(3);
    history.succeed();
    await expect.poll(() => source.readyState).toBe(source.CLOSED);
    expect(seen).toEqual(['1 accepted', '2 dispatched', '3 progressed', '4 succeeded', '4 end']);
    expect(statuses).toEqual([200, 200, 204]);
  });
});
