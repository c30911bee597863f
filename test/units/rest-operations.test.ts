import { expect, test } from 'vitest';
import type { Operation } from '../../src/operations/operation.ts';
import { Failure } from '../../src/runtime/failure.ts';
import { ID, openRig, operation, problemOf, type Rig, succeeded } from './rest-support.ts';

const PATH = `/operations/${ID}`;
const ETAG = `W/"${ID}.3"`;

async function openWith(found: Operation): Promise<Rig> {
  const rig = await openRig();
  rig.operations.set(found.id, found);
  return rig;
}

function failed(more: Partial<NonNullable<Operation['error']>> = {}): Operation {
  const error = {
    code: 'COMMAND_FAILED' as const,
    grpcCode: 'FAILED_PRECONDITION' as const,
    message: 'sold out',
    details: { sku: 'BOOK' },
    delivery: 'failed' as const,
    ...more,
  };
  return operation({ state: 'failed', version: 4, error });
}

test('the status document of a running operation', async () => {
  const rig = await openWith(operation());
  const response = await rig.get(PATH);
  expect(response.status).toBe(200);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'cache-control': 'private, no-cache',
    etag: ETAG,
    vary: 'Prefer',
    'retry-after': '1',
  });
  expect(await response.json()).toEqual({
    id: ID,
    command: 'test.v1.Orders/CreateOrder',
    state: 'running',
    done: false,
    progress: { percent: 40, message: 'packing' },
    attempt: 1,
    createdAt: '2026-01-01T00:00:00.000Z',
    updatedAt: '2026-01-01T00:00:01.500Z',
    deadline: '2026-01-01T00:01:00.000Z',
    retainedUntil: null,
    links: {
      self: `http://sluice.test${PATH}`,
      result: `http://sluice.test${PATH}/result`,
      events: `http://sluice.test${PATH}/events`,
      cancel: `http://sluice.test${PATH}:cancel`,
    },
  });
});

test('of a succeeded one it has the result as the contract writes it', async () => {
  const rig = await openWith(succeeded());
  const document = (await (await rig.get(PATH)).json()) as Record<string, unknown>;
  expect(document).toMatchObject({ state: 'succeeded', done: true, retainedUntil: '2026-01-02T00:00:00.000Z' });
  expect(document['result']).toEqual({ id: 'o1', customerId: 'c1' });
  expect(document).not.toHaveProperty('error');
});

test.each([
  ['{"any": [1]}', 'application/json', { any: [1] }],
  ['\u0001\u0002', 'application/protobuf', { contentType: 'application/protobuf', base64: 'AQI=' }],
])('a result that the contract cannot read is shown as it is stored: %s', async (text, contentType, shown) => {
  const result = { value: Buffer.from(text), contentType, httpStatus: null, headers: [] };
  const rig = await openWith(succeeded({ command: 'gone.v1.Gone/Gone', result }));
  expect(await (await rig.get(PATH)).json()).toMatchObject({ result: shown });
});

test('of a failed one it has the problem', async () => {
  const rig = await openWith(failed());
  const document = (await (await rig.get(PATH)).json()) as Record<string, unknown>;
  expect(document).not.toHaveProperty('result');
  expect(document['error']).toMatchObject({
    status: 400,
    code: 'COMMAND_FAILED',
    detail: 'sold out',
    delivery: 'failed',
    workerError: { code: 'FAILED_PRECONDITION', message: 'sold out', details: { sku: 'BOOK' } },
  });
});

test.each([
  [ETAG, 304],
  [`"${ID}.3"`, 304],
  [`"a", ${ETAG} , W/"b"`, 304],
  ['*', 304],
  [`W/"${ID}.2"`, 200],
  ['nonsense', 200],
])('If-None-Match: %s is %i', async (ifNoneMatch, status) => {
  const rig = await openWith(operation());
  const response = await rig.get(PATH, { 'if-none-match': ifNoneMatch });
  expect(response.status).toBe(status);
  expect(response.headers.get('etag')).toBe(ETAG);
  if (status === 304) expect(await response.text()).toBe('');
});

test('a long poll waits until done, at most as long as the config says', async () => {
  const rig = await openWith(operation());
  const waits: unknown[] = [];
  rig.wait = async (id, _principal, wait) => {
    waits.push([id, wait.untilMs, wait.unlessVersion]);
    return succeeded();
  };
  const response = await rig.get(PATH, { prefer: 'wait=5' });
  expect(response.headers.get('preference-applied')).toBe('wait=5');
  expect(await response.json()).toMatchObject({ state: 'succeeded' });
  const longer = await rig.get(PATH, { prefer: 'wait=9000' });
  expect(longer.headers.get('preference-applied')).toBe('wait=60');
  expect(waits).toEqual([
    [ID, 5000, undefined],
    [ID, 60_000, undefined],
  ]);
});

test('with If-None-Match a long poll waits until the version differs, 304 at the end', async () => {
  const rig = await openWith(operation());
  const versions: (number | undefined)[] = [];
  let next = operation();
  rig.wait = async (_id, _principal, wait) => {
    versions.push(wait.unlessVersion);
    return next;
  };
  const headers = { prefer: 'wait=5', 'if-none-match': ETAG };
  const same = await rig.get(PATH, headers);
  expect([same.status, same.headers.get('preference-applied')]).toEqual([304, 'wait=5']);
  next = operation({ version: 5 });
  expect((await rig.get(PATH, headers)).status).toBe(200);
  expect(versions).toEqual([3, 3]);
});

test('a long poll for what differs already, or is done, answers at once', async () => {
  const rig = await openWith(succeeded());
  rig.wait = () => Promise.reject(new Error('it waits'));
  expect((await rig.get(PATH, { prefer: 'wait=5', 'if-none-match': ETAG })).status).toBe(200);
  expect((await rig.get(PATH, { prefer: 'wait=5', 'if-none-match': `W/"${ID}.4"` })).status).toBe(304);
});

test('the result is the answer of the synchronous call', async () => {
  const rig = await openWith(succeeded());
  const response = await rig.get(`${PATH}/result`);
  expect(response.status).toBe(201);
  expect(response.headers.get('x-shelf')).toBe('7');
  expect(await response.json()).toEqual({ id: 'o1', customerId: 'c1' });
});

test('the result of a failed operation is its problem', async () => {
  const rig = await openWith(failed({ code: 'OPERATION_EXPIRED', message: 'too late', delivery: 'unknown' }));
  const response = await rig.get(`${PATH}/result`);
  expect(response.status).toBe(504);
  expect(await problemOf(response)).toMatchObject({
    code: 'OPERATION_EXPIRED',
    delivery: 'unknown',
    operation: { id: ID },
  });
});

test('the result of what is not done is 202 with the status document', async () => {
  const rig = await openWith(operation());
  const response = await rig.get(`${PATH}/result`);
  expect(response.status).toBe(202);
  expect(Object.fromEntries(response.headers)).toMatchObject({
    location: PATH,
    'operation-location': `http://sluice.test${PATH}`,
    'retry-after': '1',
  });
  expect(await response.json()).toMatchObject({ id: ID, done: false });
});

test('the result of a command that the contract lost is what the worker sent', async () => {
  const rig = await openWith(succeeded({ command: 'gone.v1.Gone/Gone' }));
  const response = await rig.get(`${PATH}/result`);
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json']);
  expect(await response.text()).toBe('{"id":"o1","customer_id":"c1"}');
});

test('the list passes filters on and gives the page back', async () => {
  const rig = await openWith(operation());
  rig.list = async () => ({ operations: [operation(), succeeded()], nextPageToken: 'next' });
  const response = await rig.get(
    '/operations?command=test.v1.Orders%2FGetOrder&state=running&page_size=2&page_token=t%3D',
  );
  expect(rig.lists).toEqual([{ command: 'test.v1.Orders/GetOrder', state: 'running', pageSize: 2, pageToken: 't=' }]);
  expect(await response.json()).toMatchObject({
    operations: [{ state: 'running' }, { state: 'succeeded', result: { id: 'o1' } }],
    nextPageToken: 'next',
  });
  await rig.get('/operations?page_size=0');
  expect(rig.lists.at(-1)).toEqual({ command: null, state: null, pageSize: null, pageToken: null });
});

test.each([
  ['page_size=-1', 'page_size'],
  ['page_size=ten', 'page_size'],
  ['page_size=1&page_size=2', 'page_size'],
  ['state=done', 'state'],
  ['colour=red', 'colour'],
  ['__proto__=1', '__proto__'],
  ['page_token=%ff', 'page_token'],
  ['command=%00', 'command'],
  ['command=test.v1.Orders/Getorder', 'command'],
])('a bad list query names the parameter: %s', async (query, parameter) => {
  const rig = await openRig();
  const response = await rig.get(`/operations?${query}`);
  expect(response.status).toBe(400);
  expect(await problemOf(response)).toMatchObject({ delivery: 'not_sent', errors: [{ parameter }] });
  expect(rig.lists).toEqual([]);
});

test.each([`/operations/${ID.replace('1', '2')}`, '/operations/x', '/operations/%00', '/operations/%ff'])(
  '%s is 404',
  async (path) => {
    const rig = await openRig();
    const response = await rig.get(path);
    expect(response.status).toBe(404);
    expect(await problemOf(response)).toMatchObject({ code: 'OPERATION_NOT_FOUND', delivery: 'not_sent' });
  },
);

test.each([PATH, `${PATH}/result`])(
  'an operation past its retention is 410 on %s and says nothing of its command',
  async (path) => {
    const rig = await openRig();
    rig.wait = () => Promise.reject(new Failure('OPERATION_GONE', 'past its retention'));
    const response = await rig.get(path, { prefer: 'wait=1' });
    expect(response.status).toBe(410);
    expect(await problemOf(response)).not.toHaveProperty('delivery');
    expect(rig.lines.at(-1)?.fields).toMatchObject({ outcome: 'OPERATION_GONE', delivery: null });
  },
);

test('a store that is away says nothing of the command', async () => {
  const rig = await openRig();
  rig.wait = () => Promise.reject(new Failure('STORE_UNAVAILABLE', 'away', { retryAfterMs: 1000 }));
  const response = await rig.get(PATH, { prefer: 'wait=1' });
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
  expect(await problemOf(response)).not.toHaveProperty('delivery');
});

test.each([PATH, `${PATH}/result`, '/operations', '/openapi.json'])(
  '%s takes GET, HEAD and OPTIONS only',
  async (path) => {
    const rig = await openWith(operation());
    const refused = await rig.send('POST', path);
    expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
    expect((await rig.send('OPTIONS', path)).status).toBe(204);
    const head = await rig.send('HEAD', path);
    expect(head.ok).toBe(true);
    expect(await head.text()).toBe('');
  },
);

test('own routes live under the base path, and the document is served', async () => {
  const rig = await openRig({ basePath: '/sluice' });
  rig.operations.set(ID, operation());
  expect((await rig.get(`/sluice${PATH}`)).status).toBe(200);
  expect((await rig.get(PATH)).status).toBe(404);
  expect(await (await rig.get('/sluice/openapi.json')).json()).toEqual({ openapi: '3.1.0' });
});

const notTaken = (delivery: 'not_sent' | 'unknown') =>
  failed({ code: 'CHANNEL_UNAVAILABLE', grpcCode: 'UNAVAILABLE', message: 'away', details: null, delivery });

test('a command that was certainly not sent invites a retry, in the answer of its call and wherever that is given again', async () => {
  const rig = await openWith(notTaken('not_sent'));
  rig.invoke = async () => ({ kind: 'settled', operation: notTaken('not_sent') });
  const answers = [
    await rig.post('/v1/orders', '{"customerId":"c"}', { 'idempotency-key': '"k"' }),
    await rig.get(`${PATH}/result`),
  ];
  for (const answer of answers) {
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await problemOf(answer)).toMatchObject({ delivery: 'not_sent', retryAfter: 1, operation: { id: ID } });
  }
  expect(await (await rig.get(PATH)).json()).toMatchObject({ error: { delivery: 'not_sent', retryAfter: 1 } });
});

test('one that may have been sent does not: a retry is answered alike, or runs twice', async () => {
  const rig = await openWith(notTaken('unknown'));
  rig.invoke = async () => ({ kind: 'settled', operation: notTaken('unknown') });
  for (const answer of [await rig.post('/v1/orders', '{"customerId":"c"}'), await rig.get(`${PATH}/result`)]) {
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, null]);
    expect(await problemOf(answer)).not.toHaveProperty('retryAfter');
  }
});
