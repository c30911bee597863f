import { expect, test } from 'vitest';
import { Failure } from '../../src/runtime/failure.ts';
import { answered, ID, openRig, operation, problemOf, workerFailure } from './rest-support.ts';

const ORDER = '{"customerId":"c1","quantity":2}';

test('a command is answered with the reply, its status and what every answer has', async () => {
  const rig = await openRig();
  const response = await rig.post('/v1/orders', ORDER);
  expect(response.status).toBe(201);
  expect(await response.json()).toEqual({ id: 'o1', customerId: 'c1' });
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'content-type': 'application/json',
    'content-length': '29',
    vary: 'Prefer',
    'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
    traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/),
  });
  expect(JSON.parse(String(rig.invocations[0]?.value && Buffer.from(rig.invocations[0].value)))).toEqual(
    JSON.parse(ORDER),
  );
});

test('the worker may choose the 2xx, and 204 has no body', async () => {
  const rig = await openRig();
  rig.invoke = async () => answered({}, { httpStatus: 204 });
  const response = await rig.send('DELETE', '/v1/orders/o1');
  expect(response.status).toBe(204);
  expect(await response.text()).toBe('');
  expect(response.headers.get('content-type')).toBeNull();
});

test('response_body picks the field', async () => {
  const rig = await openRig();
  const response = await rig.get('/v1/orders/o1:name');
  expect(await response.json()).toBe('c1');
});

test('response headers of a worker pass where the policy lets them and HTTP can carry them', async () => {
  const rig = await openRig();
  const headers: [string, string][] = [
    ['x-shelf', '7'],
    ['x-shelf', '8'],
    ['x-secret', 'no'],
    ['set-cookie', 'a=b'],
    ['x-shelf', 'a\r\nevil: yes'],
  ];
  rig.invoke = async () => answered({ id: 'o1' }, { headers });
  const response = await rig.post('/v1/orders', ORDER);
  expect(response.headers.get('x-shelf')).toBe('7, 8');
  expect(response.headers.get('content-length')).toBe('11');
  for (const name of ['x-secret', 'set-cookie', 'evil']) expect(response.headers.get(name)).toBeNull();
});

test('a 202 has links, Retry-After and the status document', async () => {
  const rig = await openRig({ publicUrl: 'https://api.example.com/shop/', basePath: '/sluice' });
  rig.invoke = async () => ({ kind: 'pending', operation: operation() });
  const response = await rig.post('/v1/orders', ORDER, { prefer: 'respond-async' });
  expect(response.status).toBe(202);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    location: `/shop/sluice/operations/${ID}`,
    'operation-location': `https://api.example.com/shop/sluice/operations/${ID}`,
    'retry-after': '1',
    'preference-applied': 'respond-async',
    vary: 'Prefer',
  });
  expect(await response.json()).toMatchObject({ id: ID, state: 'running', done: false });
});

test('a one-way command is 202 without a status URL', async () => {
  const rig = await openRig();
  rig.invoke = async () => ({ kind: 'noted', operationId: ID });
  const response = await rig.post('/v1/notes', '{"id":"1"}', { prefer: 'respond-async' });
  expect(response.status).toBe(202);
  expect(response.headers.get('location')).toBeNull();
  expect(response.headers.get('preference-applied')).toBe('respond-async');
  expect(await response.json()).toEqual({ id: ID });
});

test('the trace of the caller is passed on and back, a broken one replaced', async () => {
  const rig = await openRig();
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const response = await rig.get('/v1/orders/o1', { traceparent, tracestate: 'a=b' });
  expect(response.headers.get('traceparent')).toBe(traceparent);
  expect(rig.invocations[0]).toMatchObject({ traceparent, tracestate: 'a=b' });
  const broken = await rig.get('/v1/orders/o1', { traceparent: '00-0-0-0', tracestate: 'a=b' });
  expect(broken.headers.get('traceparent')).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  expect(rig.invocations[1]).toMatchObject({ traceparent: broken.headers.get('traceparent'), tracestate: null });
});

test.each([
  ['abc-123', true],
  ['x'.repeat(128), true],
  ['x'.repeat(129), false],
  ['a b', false],
  ['é', false],
])('the request id "%s" is kept: %s', async (id, kept) => {
  const rig = await openRig();
  const response = await rig.get('/v1/orders/o1', { 'x-request-id': id });
  expect(response.headers.get('x-request-id') === id).toBe(kept);
});

test.each([{}, { prefer: 'wait=5' }, { prefer: 'respond-async, wait=5' }])(
  'a method that returns google.longrunning.Operation is answered 202 without a wait: %o',
  async (headers) => {
    const rig = await openRig();
    rig.invoke = async () => ({ kind: 'pending', operation: operation({ command: 'test.v1.Orders/Restock' }) });
    const response = await rig.post('/v1/restocks', '{"id":"o1"}', headers);
    expect(rig.invocations.map(({ wait }) => wait)).toEqual([{ kind: 'none' }]);
    expect([response.status, response.headers.get('location')]).toEqual([202, `/operations/${ID}`]);
    expect(response.headers.get('preference-applied') ?? '').not.toContain('wait');
  },
);

test('a method that returns google.longrunning.Operation and fails at the end of its wait is waited for', async () => {
  const rig = await openRig();
  await rig.post('/v1/restocks:now', '{"id":"o1"}', { prefer: 'wait=5' });
  expect(rig.invocations.map(({ wait }) => wait)).toEqual([{ kind: 'for', waitMs: 5000 }]);
});

test('forwarded headers and hops reach the command', async () => {
  const rig = await openRig();
  await rig.post('/v1/orders', ORDER, { 'x-tenant': 't1', 'sluice-hops': '2' });
  expect(rig.invocations[0]).toMatchObject({ extraHeaders: [['x-tenant', 't1']], hops: 3 });
});

test('HEAD is GET without the body', async () => {
  const rig = await openRig();
  const response = await rig.send('HEAD', '/v1/orders/o1');
  expect(response.status).toBe(200);
  expect(response.headers.get('content-length')).toBe('29');
  expect(await response.text()).toBe('');
});

test('OPTIONS and 405 say what the path takes', async () => {
  const rig = await openRig();
  const options = await rig.send('OPTIONS', '/v1/orders/o1');
  expect([options.status, options.headers.get('allow')]).toEqual([204, 'DELETE, GET, HEAD, OPTIONS']);
  const refused = await rig.send('PUT', '/v1/orders/o1');
  expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'DELETE, GET, HEAD, OPTIONS']);
  expect(await problemOf(refused)).toMatchObject({ code: 'METHOD_NOT_ALLOWED', status: 405, delivery: 'not_sent' });
  expect((await rig.send('OPTIONS', '/nowhere')).status).toBe(404);
});

test.each([
  ['text/html', 406],
  ['application/json;q=0', 406],
  ['application/json;q=0, application/problem+json;q=0.0, */*', 406],
  ['application/*;q=0, */*', 406],
  ['*/*;q=0', 406],
  ['*/*', 200],
  ['text/html, application/*;q=0.1', 200],
  ['APPLICATION/JSON; charset=utf-8', 200],
  ['text/html, */*;q=0.01', 200],
  ['application/problem+json', 200],
  ['nonsense', 200],
])('Accept: %s is %i', async (accept, status) => {
  const rig = await openRig();
  const response = await rig.get('/v1/orders/o1', { accept });
  expect(response.status).toBe(status);
  expect(rig.invocations.length).toBe(status === 200 ? 1 : 0);
  if (status === 406) expect(await problemOf(response)).toMatchObject({ errors: [{ header: 'accept' }] });
});

test.each([
  [{ 'content-type': 'text/plain' }, 415],
  [{ 'content-type': 'application/x-www-form-urlencoded' }, 415],
  [{ 'content-type': 'application/json; charset=latin1' }, 415],
  [{ 'content-type': 'application/jsonp' }, 415],
  [{ 'content-encoding': 'gzip' }, 415],
  [{ 'content-type': 'application/json; charset=UTF-8' }, 201],
  [{ 'content-type': 'Application/JSON;charset="utf-8"' }, 201],
  [{ 'content-encoding': 'identity' }, 201],
])('a body with %o is %i', async (headers, status) => {
  const rig = await openRig();
  const response = await rig.post('/v1/orders', ORDER, headers);
  expect(response.status).toBe(status);
  expect(rig.invocations.length).toBe(status === 201 ? 1 : 0);
});

test('a body that is too large is 413, one that is not taken 400', async () => {
  const rig = await openRig({ maxBodyBytes: 64 });
  const large = await rig.post('/v1/orders', JSON.stringify({ customerId: 'c'.repeat(64) }));
  expect([large.status, (await problemOf(large))['code']]).toEqual([413, 'REQUEST_TOO_LARGE']);
  const unwanted = await rig.send('DELETE', '/v1/orders/o1', { 'content-type': 'text/plain' }, 'x');
  expect(unwanted.status).toBe(400);
  expect(await problemOf(unwanted)).toMatchObject({ code: 'REQUEST_INVALID', errors: [{ pointer: '#' }] });
  expect((await rig.send('DELETE', '/v1/orders/o1', {}, '')).status).toBe(200);
});

test.each([
  ['callback-url', 'https://a.example', 'FEATURE_UNSUPPORTED'],
  ['sluice-hops', '-1', 'HEADER_INVALID'],
  ['sluice-hops', 'many', 'HEADER_INVALID'],
  ['sluice-hops', '10000', 'HEADER_INVALID'],
])('%s: %s is refused by name with %s', async (header, value, code) => {
  const rig = await openRig();
  const response = await rig.post('/v1/orders', ORDER, { [header]: value });
  expect(response.status).toBe(400);
  expect(await problemOf(response)).toMatchObject({ code, delivery: 'not_sent', errors: [{ header }] });
  expect(rig.invocations).toEqual([]);
});

test.each([
  ['POST', '/v1/orders', '{', { code: 'REQUEST_MALFORMED', errors: [{ pointer: '#' }] }],
  ['POST', '/v1/orders', '{"customerId":"c1","quantity":2147483648}', { errors: [{ pointer: '#/quantity' }] }],
  ['POST', '/v1/orders', '{"customerId":"c1","colour":1}', { errors: [{ pointer: '#/colour' }] }],
  ['POST', '/v1/orders', '{"customerId":"c1","__proto__":{"a":1}}', { errors: [{ pointer: '#/__proto__' }] }],
  ['POST', '/v1/orders', '{"customerId":"\\ud800"}', { errors: [{ pointer: '#/customerId' }] }],
  ['POST', '/v1/orders', '{"customerId":"\\u0000"}', { errors: [{ pointer: '#/customerId' }] }],
  ['POST', '/v1/orders', '{}', { errors: [{ pointer: '#/customerId' }] }],
  ['POST', '/v1/orders', '['.repeat(300) + ']'.repeat(300), { delivery: 'not_sent' }],
  ['GET', '/v1/orders/%ff', undefined, { code: 'REQUEST_MALFORMED', errors: [{ parameter: 'path' }] }],
  ['GET', '/v1/orders/%zz', undefined, { code: 'REQUEST_MALFORMED' }],
  ['GET', '/v1/orders/o%001', undefined, { errors: [{ parameter: 'id' }] }],
  ['GET', '/v1/orders/o1?colour=red', undefined, { errors: [{ parameter: 'colour' }] }],
])('bad input is a 4xx that says where: %s %s %s', async (method, path, body, problem) => {
  const rig = await openRig();
  const response = await rig.send(method, path, { 'content-type': 'application/json' }, body);
  expect(response.status).toBe(400);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(await problemOf(response)).toMatchObject({ delivery: 'not_sent', ...problem });
  expect(rig.invocations).toEqual([]);
});

test('a problem has every member, and its headers', async () => {
  const rig = await openRig();
  rig.invoke = async () => {
    throw new Failure('WAIT_EXPIRED', 'no reply in time', { delivery: 'unknown', operationId: ID, retryAfterMs: 1200 });
  };
  const response = await rig.post('/v1/orders', ORDER, { 'x-request-id': 'r/1' });
  expect(response.status).toBe(504);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    'retry-after': '2',
    'x-request-id': 'r/1',
  });
  expect(await problemOf(response)).toEqual({
    type: 'urn:sluice:error:WAIT_EXPIRED',
    title: 'No answer in time',
    status: 504,
    detail: 'no reply in time',
    instance: 'urn:sluice:request:r%2F1',
    code: 'WAIT_EXPIRED',
    delivery: 'unknown',
    operation: { id: ID, link: `http://sluice.test/operations/${ID}` },
    requestId: 'r/1',
    retryAfter: 2,
  });
});

test("a worker's error is told as it came, with the status of its gRPC code", async () => {
  const rig = await openRig();
  rig.invoke = async () => {
    throw workerFailure({ grpcCode: 'FAILED_PRECONDITION', message: 'sold out', details: { sku: 'BOOK' } });
  };
  const response = await rig.post('/v1/orders', ORDER);
  expect(response.status).toBe(400);
  expect(await problemOf(response)).toMatchObject({
    code: 'COMMAND_FAILED',
    detail: 'sold out',
    delivery: 'failed',
    workerError: { code: 'FAILED_PRECONDITION', message: 'sold out', details: { sku: 'BOOK' } },
  });
});

test('a defect is 500 with the request id; its message stays in the log', async () => {
  const rig = await openRig();
  rig.invoke = async () => {
    throw new Error('password is hunter2');
  };
  const response = await rig.post('/v1/orders', ORDER, { 'x-request-id': 'r1' });
  expect(response.status).toBe(500);
  const text = await response.text();
  expect(text).not.toContain('hunter2');
  expect(JSON.parse(text)).toMatchObject({ code: 'INTERNAL', delivery: 'unknown', requestId: 'r1' });
  const defect = rig.lines.find(({ level }) => level === 'error');
  expect(defect?.fields).toMatchObject({
    requestId: 'r1',
    err: expect.objectContaining({ message: 'password is hunter2' }),
  });
});

test('a streaming method is 501', async () => {
  const rig = await openRig();
  const response = await rig.get('/v1/orders/o1/watch');
  expect([response.status, (await problemOf(response))['code']]).toEqual([501, 'STREAMING_UNSUPPORTED']);
});

test.each(['/nowhere', '/webhooks', '/docs', `/operations/${ID}/attempts`, `/operations/${ID}:undo`])(
  '%s is no route yet',
  async (path) => {
    const rig = await openRig();
    const response = await rig.get(path);
    expect(response.status).toBe(404);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
  },
);

test('one wide line and one count a call', async () => {
  const rig = await openRig();
  await rig.post('/v1/orders', ORDER, { 'x-request-id': 'r1' });
  await rig.get('/v1/orders/o1', { accept: 'text/html' });
  expect(rig.lines.map(({ fields }) => fields)).toMatchObject([
    {
      method: 'POST',
      route: '/v1/orders',
      command: 'test.v1.Orders/CreateOrder',
      status: 201,
      outcome: 'OK',
      delivery: null,
      requestId: 'r1',
      sizeBytes: 29,
    },
    { method: 'GET', route: '/v1/orders/{id}', status: 406, outcome: 'NOT_ACCEPTABLE', delivery: 'not_sent' },
  ]);
  const { text } = await rig.metrics.render();
  expect(text).toContain('sluice_calls_total{edge="rest",command="test.v1.Orders/CreateOrder",outcome="OK"} 1');
  expect(text).toContain(
    'sluice_call_duration_seconds_count{edge="rest",command="test.v1.Orders/GetOrder",outcome="NOT_ACCEPTABLE"} 1',
  );
});

test('the deepest nesting that fits the body limit is a 400', async () => {
  const rig = await openRig();
  const response = await rig.post('/v1/orders', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`);
  expect(response.status).toBe(400);
  expect(rig.invocations).toEqual([]);
});
