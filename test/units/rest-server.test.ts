import { request } from 'node:http';
import { expect, test, vi } from 'vitest';
import type { RestOptions } from '../../src/edge/rest/server.ts';
import { answered, openRig, operation, type Rig, talk } from './rest-support.ts';

const ORDER = '{"customerId":"c1"}';

async function listen(options: Partial<RestOptions> = {}): Promise<{ rig: Rig; port: number; url: string }> {
  const rig = await openRig(options);
  const { port } = await rig.server.listen();
  return { rig, port, url: `http://127.0.0.1:${port}` };
}

function post(url: string, body: RequestInit['body'], headers: Record<string, string> = {}): Promise<Response> {
  const init = { method: 'POST', body, headers: { 'content-type': 'application/json', ...headers }, duplex: 'half' };
  return fetch(`${url}/v1/orders`, init as RequestInit);
}

function bodyOf(raw: string): Record<string, unknown> {
  return JSON.parse(raw.slice(raw.indexOf('\r\n\r\n') + 4)) as Record<string, unknown>;
}

test('a call over a socket, with known length and in chunks', async () => {
  const { url, rig } = await listen();
  const response = await post(url, ORDER);
  expect(response.status).toBe(201);
  expect(response.headers.get('content-length')).toBe('29');
  expect(await response.json()).toEqual({ id: 'o1', customerId: 'c1' });
  const chunked = await post(url, new Blob([ORDER]).stream());
  expect(chunked.status).toBe(201);
  expect(rig.invocations.map(({ value }) => Buffer.from(value).toString())).toEqual([ORDER, ORDER]);
});

test('links come from the socket, not from the Host header', async () => {
  const { port, rig } = await listen();
  rig.invoke = async () => ({ kind: 'pending', operation: operation() });
  const raw = await talk(port, 'GET /v1/orders/1 HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n');
  expect(raw).toContain(`http://127.0.0.1:${port}/operations/`);
  expect(raw).not.toContain('evil.example');
});

test.each([
  ['too large by its length', `Content-Length: 65\r\n\r\n${'x'.repeat(65)}`, 413],
  ['too large in chunks', `Transfer-Encoding: chunked\r\n\r\n41\r\n${'x'.repeat(65)}\r\n0\r\n\r\n`, 413],
  ['as large as may be', `Content-Length: 64\r\n\r\n${'x'.repeat(64)}`, 400],
])('a body %s is refused', async (_what, text, status) => {
  const { port, rig } = await listen({ maxBodyBytes: 64 });
  const head = 'POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n';
  const raw = await talk(port, head + text);
  expect(raw).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(bodyOf(raw)).toMatchObject({ status, delivery: 'not_sent' });
  expect(rig.invocations).toEqual([]);
});

const GOOD = 'Host: a\r\nConnection: close\r\n';

test.each([
  ['no HTTP', 'hello\r\n\r\n', 400],
  ['two lengths', `POST /v1/orders HTTP/1.1\r\n${GOOD}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx`, 400],
  [
    'length and chunks',
    `POST /v1/orders HTTP/1.1\r\n${GOOD}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx`,
    400,
  ],
  [
    'a broken chunk',
    `POST /v1/orders HTTP/1.1\r\n${GOOD}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    400,
  ],
  ['no Host', 'GET /v1/orders/1 HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
  ['a bad Host', 'GET /v1/orders/1 HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n', 400],
  ['a Host that no URL takes', 'GET /v1/orders/1 HTTP/1.1\r\nHost: %%\r\nConnection: close\r\n\r\n', 400],
  ['a backslash in the path', `GET /v1\\orders HTTP/1.1\r\n${GOOD}\r\n`, 400],
  ['bytes in the path', Buffer.from(`GET /v1/orders/\xe9 HTTP/1.1\r\n${GOOD}\r\n`, 'latin1'), 400],
  ['a fragment', `GET /v1/orders/1#a HTTP/1.1\r\n${GOOD}\r\n`, 400],
  ['no path', `GET orders HTTP/1.1\r\n${GOOD}\r\n`, 400],
  ['broken percent-encoding', `GET /v1/orders/%f HTTP/1.1\r\n${GOOD}\r\n`, 400],
  [
    'invalid UTF-8',
    `POST /v1/orders HTTP/1.1\r\n${GOOD}Content-Type: application/json\r\nContent-Length: 3\r\n\r\n"\xff"`,
    400,
  ],
  ['an unknown expectation', `POST /v1/orders HTTP/1.1\r\n${GOOD}Expect: a miracle\r\nContent-Length: 0\r\n\r\n`, 400],
  ['dots in the path', `GET /v1/../openapi.json HTTP/1.1\r\n${GOOD}\r\n`, 404],
  ['an unknown method', `BREW /v1/orders HTTP/1.1\r\n${GOOD}\r\n`, 405],
  ['no request line at all', 'hello, anybody there?\r\n\r\n', 400],
  ['two Hosts', 'GET /v1/orders/1 HTTP/1.1\r\nHost: a\r\nhost: b\r\nConnection: close\r\n\r\n', 400],
  ['TRACE', `TRACE /v1/orders HTTP/1.1\r\n${GOOD}\r\n`, 405],
  ['a long path', `GET /${'x'.repeat(9000)} HTTP/1.1\r\n${GOOD}\r\n`, 414],
  ['a path longer than all headers may be', `GET /${'x'.repeat(40_000)} HTTP/1.1\r\n${GOOD}\r\n`, 414],
  ['a long header', `GET /v1/orders/1 HTTP/1.1\r\n${GOOD}X: ${'x'.repeat(17_000)}\r\n\r\n`, 431],
  ['a very long header', `GET /v1/orders/1 HTTP/1.1\r\n${GOOD}X: ${'x'.repeat(100_000)}\r\n\r\n`, 431],
  ['many headers', `GET /v1/orders/1 HTTP/1.1\r\n${GOOD}${'a: b\r\n'.repeat(150)}\r\n`, 431],
  ['very many headers', `GET /v1/orders/1 HTTP/1.1\r\n${GOOD}${'a: b\r\n'.repeat(2500)}\r\n`, 431],
])('%s is refused with a problem', async (_what, text, status) => {
  const { port, rig } = await listen();
  const raw = await talk(port, text);
  expect(raw).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(raw).toMatch(/\r\ncontent-type: application\/problem\+json\r\n/i);
  expect(raw).toMatch(/\r\nx-request-id: /i);
  expect(bodyOf(raw)).toMatchObject({ status, delivery: 'not_sent', code: expect.any(String) });
  expect(rig.invocations).toEqual([]);
});

test.each([
  ['the absolute form', `GET http://other.example/v1/orders/1 HTTP/1.1\r\n${GOOD}\r\n`, 200],
  ['HTTP/1.0 without Host', 'GET /v1/orders/1 HTTP/1.0\r\n\r\n', 200],
  ['as many headers as may be', `GET /v1/orders/1 HTTP/1.1\r\n${GOOD}${'a: b\r\n'.repeat(98)}\r\n`, 200],
  ['OPTIONS *', `OPTIONS * HTTP/1.1\r\n${GOOD}\r\n`, 204],
  ['a HEAD', `HEAD /v1/orders/1 HTTP/1.1\r\n${GOOD}\r\n`, 200],
])('%s is served', async (_what, text, status) => {
  const { port } = await listen();
  const raw = await talk(port, text);
  expect(raw).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  if (text.startsWith('HEAD')) expect(raw.endsWith('\r\n\r\n')).toBe(true);
});

test('a caller that asks first is told to go on only where the body is wanted', async () => {
  const { port } = await listen();
  const ask = (type: string, length: number) =>
    `POST /v1/orders HTTP/1.1\r\n${GOOD}Content-Type: ${type}\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`;
  expect(await talk(port, ask('application/json', 19), '100 Continue')).toMatch(/^HTTP\/1.1 100 Continue\r\n/);
  expect(await talk(port, ask('text/plain', 19), '\r\n\r\n')).toMatch(/^HTTP\/1.1 415 /);
  expect(await talk(port, ask('application/json', 1e6), '\r\n\r\n')).toMatch(/^HTTP\/1.1 413 /);
});

test('a header in UTF-8 reaches the command as it was meant', async () => {
  const { port, rig } = await listen();
  const body = `Content-Type: application/json\r\nContent-Length: ${ORDER.length}\r\nX-Tenant: Zürich\r\n\r\n${ORDER}`;
  await talk(port, Buffer.from(`POST /v1/orders HTTP/1.1\r\n${GOOD}${body}`, 'utf8'));
  expect(rig.invocations[0]?.extraHeaders).toEqual([['x-tenant', 'Zürich']]);
});

test('a caller that goes away aborts the call', async () => {
  const { url, rig } = await listen();
  rig.invoke = ({ signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('gone'))));
  const call = request(`${url}/v1/orders/1`);
  call.on('error', () => undefined);
  call.end();
  await vi.waitFor(() => expect(rig.invocations.length).toBe(1));
  call.destroy();
  await vi.waitFor(() => expect(rig.invocations[0]?.signal.aborted).toBe(true));
});

test('a caller that goes away in the middle of its body sends no command', async () => {
  const { port, rig } = await listen();
  const head = `POST /v1/orders HTTP/1.1\r\n${GOOD}Content-Type: application/json\r\nContent-Length: 19\r\nExpect: 100-continue\r\n\r\n`;
  await talk(port, head, '100 Continue');
  await vi.waitFor(() => expect(rig.lines.at(-1)?.fields).toMatchObject({ status: 499, outcome: 'CALL_CANCELLED' }));
  expect(rig.lines.at(-1)?.fields).toMatchObject({ delivery: 'not_sent' });
  expect(rig.invocations).toEqual([]);
});

test('draining: commands are refused as not sent, the status is still served, connections close', async () => {
  const { url, rig, port } = await listen();
  let release: () => void = () => undefined;
  rig.invoke = () =>
    new Promise((resolve) => {
      release = () => resolve(answered({ id: 'o1' }));
    });
  const waiting = post(url, ORDER);
  await vi.waitFor(() => expect(rig.invocations.length).toBe(1));
  rig.server.beginDrain();
  const refused = await rig.get('/v1/orders/1');
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ code: 'NOT_READY', delivery: 'not_sent', retryAfter: 1 });
  expect((await rig.get('/openapi.json')).status).toBe(200);
  await expect(talk(port, 'GET / HTTP/1.1\r\n\r\n')).rejects.toThrow('ECONNREFUSED');
  release();
  const response = await waiting;
  expect([response.status, response.headers.get('connection')]).toEqual([201, 'close']);
  await rig.server.close(60_000);
  expect(rig.clock.pendingTimers).toBe(0);
});

test('close cuts off what is still open after its time', async () => {
  const { url, rig } = await listen();
  rig.invoke = ({ signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('cut off'))));
  const cutOff = expect(post(url, ORDER)).rejects.toThrow();
  await vi.waitFor(() => expect(rig.invocations.length).toBe(1));
  const closed = rig.server.close(60_000);
  rig.clock.advance(60_000);
  await closed;
  await cutOff;
});

test('a port that is taken is an error', async () => {
  const { port } = await listen();
  const rig = await openRig({ port });
  await expect(rig.server.listen()).rejects.toThrow('EADDRINUSE');
});

test.each([
  ['head', 'POST /v1/orders HTTP/1.1\r\nHost: a\r\n'],
  ['body', `POST /v1/orders HTTP/1.1\r\n${GOOD}Content-Type: application/json\r\nContent-Length: 19\r\n\r\n{`],
])('a %s that does not arrive in time is 408, and sends no command', async (_what, text) => {
  const { port, rig } = await listen({ headersTimeoutMs: 50, requestTimeoutMs: 50 });
  const raw = await talk(port, text);
  expect(raw).toMatch(/^HTTP\/1.1 408 /);
  expect(bodyOf(raw)).toMatchObject({ code: 'REQUEST_TIMEOUT', delivery: 'not_sent' });
  expect(rig.invocations).toEqual([]);
});
