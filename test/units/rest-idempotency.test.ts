import { describe, expect, test } from 'vitest';
import { Failure } from '../../src/runtime/failure.ts';
import { answered, openRig, problemOf, type Rig, talk, workerFailure } from './rest-support.ts';

const ORDER = '{"customerId":"c1","quantity":2}';
const SAME_KEY_ONLY = /retry with the same key only/;

async function keyOf(rig: Rig, sent: string): Promise<string | null | undefined> {
  expect((await rig.post('/v1/orders', ORDER, { 'idempotency-key': sent })).status).toBe(201);
  return rig.invocations.at(-1)?.idempotency?.key;
}

async function fingerprintOf(rig: Rig, path: string, body: string): Promise<string | undefined> {
  await rig.post(path, body, { 'idempotency-key': 'k' });
  const fingerprint = rig.invocations.at(-1)?.idempotency?.fingerprint;
  return fingerprint && Buffer.from(fingerprint).toString('hex');
}

describe('the key', () => {
  test.each([
    ['"8e03978e-40d5"', '8e03978e-40d5'],
    ['8e03978e-40d5', '8e03978e-40d5'],
    [' "k" ', 'k'],
    ['"a, b"', 'a, b'],
    ['"say \\"a\\\\b\\""', 'say "a\\b"'],
    ['"k";v=1; w="x;y"; *z', 'k'],
    ['a b', 'a b'],
    ['a;b', 'a;b'],
    ['x'.repeat(255), 'x'.repeat(255)],
    [`"${'x'.repeat(255)}"`, 'x'.repeat(255)],
  ])('%s is read as a String of RFC 8941, or as it is', async (sent, key) => {
    expect(await keyOf(await openRig(), sent)).toBe(key);
  });

  test.each([
    ['""'],
    ['x'.repeat(256)],
    [`"${'x'.repeat(256)}"`],
    ['"a'],
    ['a"'],
    ['"a" b'],
    ['"a\\b"'],
    ['"a", "b"'],
    ['a,b'],
    ['a\tb'],
    ['caf\u00e9'],
    ['"caf\u00e9"'],
  ])('%s is refused by name, and sends nothing', async (sent) => {
    const rig = await openRig();
    const response = await rig.post('/v1/orders', ORDER, { 'idempotency-key': sent });
    expect(response.status).toBe(400);
    const problem = await problemOf(response);
    expect(problem).toMatchObject({
      code: 'HEADER_INVALID',
      delivery: 'not_sent',
      errors: [{ header: 'idempotency-key' }],
    });
    expect(problem['detail']).not.toMatch(SAME_KEY_ONLY);
    expect(rig.invocations).toEqual([]);
  });

  test.each([
    ['Idempotency-Key: "a"\r\nIdempotency-Key: "a"\r\n'],
    ['Idempotency-Key: a\r\nidempotency-key: a\r\n'],
    // Joined by a comma these two would be one good key.
    ['Idempotency-Key: "a\r\nIdempotency-Key: b"\r\n'],
    ['Idempotency-Key:\r\n'],
  ])('sent as %j is refused', async (fields) => {
    const rig = await openRig();
    const { port } = await rig.server.listen();
    const head = `POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n`;
    const raw = await talk(port, `${head}${fields}Content-Length: ${ORDER.length}\r\n\r\n${ORDER}`);
    expect(raw).toMatch(/^HTTP\/1.1 400 /);
    expect(raw).toContain('"header":"idempotency-key"');
    expect(rig.invocations).toEqual([]);
  });

  test('without one the invocation has none', async () => {
    const rig = await openRig();
    await rig.post('/v1/orders', ORDER);
    expect(rig.invocations[0]?.idempotency).toBeNull();
  });
});

describe('a command that requires a key', () => {
  test('takes no call without one, and sends nothing', async () => {
    const rig = await openRig();
    const response = await rig.post('/v1/payments', '{"id":"o1"}');
    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({
      code: 'IDEMPOTENCY_KEY_REQUIRED',
      delivery: 'not_sent',
      errors: [{ header: 'idempotency-key' }],
    });
    expect(rig.invocations).toEqual([]);
  });

  test('takes one with it', async () => {
    const rig = await openRig();
    expect((await rig.post('/v1/payments', '{"id":"o1"}', { 'idempotency-key': 'k' })).status).toBe(200);
  });
});

describe('the fingerprint', () => {
  test('is that of command and payload, however the payload was written and whatever the headers say', async () => {
    const rig = await openRig();
    const fingerprint = await fingerprintOf(rig, '/v1/orders', ORDER);
    expect(fingerprint).toHaveLength(64);
    expect(await fingerprintOf(rig, '/v1/orders', '{ "quantity": 2.0, "customer_id": "c1" }')).toBe(fingerprint);
    await rig.post('/v1/orders', ORDER, { 'idempotency-key': 'other', 'x-tenant': 't', prefer: 'wait=1' });
    const other = rig.invocations.at(-1)?.idempotency?.fingerprint ?? new Uint8Array();
    expect(Buffer.from(other).toString('hex')).toBe(fingerprint);
  });

  test('tells another payload and another command', async () => {
    const rig = await openRig();
    const all = [
      await fingerprintOf(rig, '/v1/orders', ORDER),
      await fingerprintOf(rig, '/v1/orders', '{"customerId":"c1","quantity":3}'),
      await fingerprintOf(rig, '/v1/notes', '{"id":"o1"}'),
      await fingerprintOf(rig, '/v1/payments', '{"id":"o1"}'),
    ];
    expect(new Set(all).size).toBe(4);
    expect(all).not.toContain(undefined);
  });
});

describe('a call with a key that is refused as not sent', () => {
  const key = { 'idempotency-key': 'k' };
  const refusals: [string, (rig: Rig) => Promise<Response>][] = [
    ['bad input', (rig) => rig.post('/v1/orders', '{"quantity":"x"}', key)],
    ['a media type', (rig) => rig.post('/v1/orders', ORDER, { ...key, 'content-type': 'text/plain' })],
    ['Accept', (rig) => rig.post('/v1/orders', ORDER, { ...key, accept: 'text/html' })],
    ['a call loop', (rig) => rig.post('/v1/orders', ORDER, { ...key, 'sluice-hops': '8' })],
    [
      'a limit',
      (rig) => {
        rig.invoke = () => Promise.reject(new Failure('OVERLOADED', 'full', { retryAfterMs: 1000 }));
        return rig.post('/v1/orders', ORDER, key);
      },
    ],
  ];

  test.each(refusals)('says that an earlier one may have been carried out: %s', async (_what, send) => {
    const response = await send(await openRig());
    expect(response.status).toBeGreaterThanOrEqual(400);
    const problem = await problemOf(response);
    expect(problem['delivery']).toBe('not_sent');
    expect(problem['detail']).toMatch(SAME_KEY_ONLY);
  });

  test('while the instance drains, too, and keeps what else was said', async () => {
    const rig = await openRig();
    rig.server.beginDrain();
    const response = await rig.post('/v1/orders', ORDER, key);
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    expect((await problemOf(response))['detail']).toMatch(SAME_KEY_ONLY);
  });

  test('without a key nothing of the kind is said', async () => {
    const rig = await openRig();
    expect((await problemOf(await rig.post('/v1/orders', '{"quantity":"x"}')))['detail']).not.toMatch(SAME_KEY_ONLY);
  });

  test.each([
    ['of its own fate it says nothing more', new Failure('CHANNEL_UNAVAILABLE', 'away', { delivery: 'unknown' })],
    ['nor where a worker refused', workerFailure({ grpcCode: 'NOT_FOUND', message: 'none', details: null })],
    ['nor where it is the key that is wrong', new Failure('IDEMPOTENCY_KEY_REUSED', 'another payload')],
  ])('%s', async (_what, failure) => {
    const rig = await openRig();
    rig.invoke = () => Promise.reject(failure);
    expect((await problemOf(await rig.post('/v1/orders', ORDER, key)))['detail']).toBe(failure.message);
  });
});

test('a key that belongs to another request is 422', async () => {
  const rig = await openRig();
  rig.invoke = () => Promise.reject(new Failure('IDEMPOTENCY_KEY_REUSED', 'the key belongs to another request'));
  const response = await rig.post('/v1/orders', ORDER, { 'idempotency-key': 'k' });
  expect(response.status).toBe(422);
  expect(await problemOf(response)).toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED', delivery: 'not_sent' });
});

test('Callback-URL is still refused, with a key or without', async () => {
  const rig = await openRig();
  rig.invoke = async () => answered({});
  const headers = { 'idempotency-key': 'k', 'callback-url': 'https://a.example' };
  const response = await rig.post('/v1/orders', ORDER, headers);
  expect([response.status, (await problemOf(response))['code']]).toEqual([400, 'FEATURE_UNSUPPORTED']);
});
