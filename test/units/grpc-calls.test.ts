import { connect, type OutgoingHttpHeaders } from 'node:http2';
import { status } from '@grpc/grpc-js';
import { afterEach, expect, test, vi } from 'vitest';
import type { Call, Handle } from '../../src/edge/call.ts';
import { Failure } from '../../src/runtime/failure.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import {
  answerWith,
  callMethod,
  callRaw,
  failingHandle,
  type GateParts,
  type GrpcGate,
  makeOperation,
  openGate,
  readDetails,
  takeRequest,
} from '../support/grpc-gate.ts';

const GRIND = '/mill.v1.Mill/Grind';
const gates: GrpcGate[] = [];

afterEach(async () => {
  for (const gate of gates.splice(0)) await gate.close();
});

async function open(parts: GateParts = {}): Promise<GrpcGate> {
  const gate = await openGate(parts);
  gates.push(gate);
  return gate;
}

/** A handle that keeps its calls and answers each. */
function keepCalls(): { calls: Call[]; handle: Handle } {
  const calls: Call[] = [];
  return {
    calls,
    handle: async (call) => {
      calls.push(call);
      return answerWith(call.command, { id: 'g1', weight: 7 });
    },
  };
}

test('a unary call reaches the handle decoded and its answer comes back', async () => {
  const seen: unknown[] = [];
  const gate = await open({
    handle: async (call) => {
      seen.push(call.command.codec.requestToJson(await takeRequest(call)));
      return answerWith(call.command, { id: 'g1', weight: 7 });
    },
  });
  const { value, status: end } = await callMethod(gate, GRIND, { id: 'x', grains: [{ id: 'r', weight: 3 }] });
  expect(value).toEqual({ id: 'g1', weight: 7 });
  expect(end.code).toBe(status.OK);
  expect(seen).toEqual(['{"id":"x","grains":[{"id":"r","weight":3}]}']);
});

test('bytes that are no protobuf are the caller’s fault, with details, and nothing is sent', async () => {
  const gate = await open({
    handle: async (call) => answerWith(call.command, { id: String(await takeRequest(call)) }),
  });
  const answered = await callRaw(gate, GRIND, Buffer.from([0x0a, 0xff, 0xff]));
  expect(answered.status.code).toBe(status.INVALID_ARGUMENT);
  expect(readDetails(answered).info).toMatchObject({
    domain: 'sluice',
    reason: 'REQUEST_MALFORMED',
    metadata: { delivery: 'not_sent', requestId: 'request-1' },
  });
  const next = await callRaw(gate, GRIND, Buffer.alloc(0));
  expect(next.status.code).toBe(status.OK);
});

test('a broken rule of the contract names its field', async () => {
  const gate = await open({
    handle: async (call) => {
      await takeRequest(call);
      throw new Error('must not be reached');
    },
  });
  const answered = await callMethod(gate, GRIND, { name: 'too long' });
  expect(answered.status.code).toBe(status.INVALID_ARGUMENT);
  expect(readDetails(answered).violations).toMatchObject([
    { field: 'name', description: 'must be at most 5 characters' },
  ]);
});

test('trace, hops, request id and forwarded metadata reach the call; request id and trace come back', async () => {
  const { calls, handle } = keepCalls();
  const gate = await open({ handle });
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const metadata = { 'x-request-id': 'mine', traceparent, tracestate: 'a=b', 'sluice-hops': '3', tenant: 'acme' };
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0), { metadata });
  const [call] = calls;
  expect(call).toMatchObject({ requestId: 'mine', traceparent, tracestate: 'a=b', hops: 3, principal: { id: '' } });
  expect(call?.header('tenant')).toBe('acme');
  expect(call?.header('absent')).toBeNull();
  expect(answered.status.metadata.get('x-request-id')).toEqual(['mine']);
  expect(answered.status.metadata.get('traceparent')).toEqual([traceparent]);
});

test('a caller without a trace gets one, and a request id of ours', async () => {
  const { calls, handle } = keepCalls();
  const gate = await open({ handle });
  await callRaw(gate, GRIND, Buffer.alloc(0), { metadata: { traceparent: 'nonsense', 'x-request-id': 'a b' } });
  expect(calls[0]?.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  expect(calls[0]).toMatchObject({ requestId: 'request-1', hops: 0 });
});

test.each([
  ['sluice-hops', 'many', 'HEADER_INVALID'],
  ['sluice-hops', '10000', 'HEADER_INVALID'],
  ['callback-url', 'https://example.com', 'FEATURE_UNSUPPORTED'],
])('metadata %s = %s is refused as %s', async (name, value, reason) => {
  const gate = await open();
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0), { metadata: { [name]: value } });
  expect(answered.status.code).toBe(status.INVALID_ARGUMENT);
  const details = readDetails(answered);
  expect(details.info?.reason).toBe(reason);
  expect(details.violations[0]?.field).toBe(name);
});

test('metadata over the limits is refused', async () => {
  const gate = await open({ options: { maxMetadataBytes: 500, maxMetadataEntries: 10 } });
  const long = await callRaw(gate, GRIND, Buffer.alloc(0), { metadata: { long: 'x'.repeat(600) } });
  expect(readDetails(long).info?.reason).toBe('HEADERS_TOO_LARGE');
  const metadata = Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`n${index}`, 'x']));
  const many = await callRaw(gate, GRIND, Buffer.alloc(0), { metadata });
  expect(readDetails(many).info?.reason).toBe('HEADERS_TOO_LARGE');
});

test('a deadline becomes the wait, with the margin taken off; without one there is none', async () => {
  const { calls, handle } = keepCalls();
  const clock = { wallMs: () => 0, monotonicMs: () => 1000, setTimer: () => () => undefined };
  const gate = await open({ handle, clock });
  await callRaw(gate, GRIND, Buffer.alloc(0), { timeoutMs: 100_000 });
  await callRaw(gate, GRIND, Buffer.alloc(0));
  const wait = calls[0]?.wait;
  const atMs = wait?.kind === 'until' ? wait.atMs : null;
  // 5 % of the remaining time are kept; what the call needed to arrive is less than the rest of the range.
  expect(atMs).toBeLessThanOrEqual(1000 + 95_000);
  expect(atMs).toBeGreaterThan(1000 + 80_000);
  expect(calls[1]?.wait).toEqual({ kind: 'until', atMs: null });
});

test('a caller that goes away aborts the call', async () => {
  const arrived = Promise.withResolvers<Call>();
  const gone = Promise.withResolvers<void>();
  const gate = await open({
    handle: async (call) => {
      call.signal.addEventListener('abort', () => gone.resolve());
      arrived.resolve(call);
      await gone.promise;
      throw new Failure('CALL_CANCELLED', 'gone', { delivery: 'unknown' });
    },
  });
  const leaving = new AbortController();
  const answer = callRaw(gate, GRIND, Buffer.alloc(0), { signal: leaving.signal });
  const call = await arrived.promise;
  expect(call.signal.aborted).toBe(false);
  leaving.abort();
  expect((await answer).status.code).toBe(status.CANCELLED);
  await gone.promise;
});

test('the deadline is no cancel: the call behind it goes on', async () => {
  const arrived = Promise.withResolvers<Call>();
  const finish = Promise.withResolvers<void>();
  const gate = await open({
    handle: async (call) => {
      arrived.resolve(call);
      await finish.promise;
      return { kind: 'operation', operation: makeOperation() };
    },
  });
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0), { timeoutMs: 60 });
  expect(answered.status.code).toBe(status.DEADLINE_EXCEEDED);
  const call = await arrived.promise;
  // The server has seen the end of that stream once it answers the next call of the connection.
  finish.resolve();
  await callRaw(gate, GRIND, Buffer.alloc(0));
  expect(call.signal.aborted).toBe(false);
});

test('an answered call is not aborted by what grpc-js says at its end', async () => {
  const { calls, handle } = keepCalls();
  const gate = await open({ handle });
  await callRaw(gate, GRIND, Buffer.alloc(0));
  await callRaw(gate, GRIND, Buffer.alloc(0));
  expect(calls[0]?.signal.aborted).toBe(false);
});

test('a wait that ends is a deadline that names the operation, in details and in trailing metadata', async () => {
  const operation = makeOperation();
  const gate = await open({ handle: async () => ({ kind: 'operation', operation }) });
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0));
  const name = `operations/${operation.id}`;
  expect(answered.status.code).toBe(status.DEADLINE_EXCEEDED);
  expect(answered.status.metadata.get('sluice-operation')).toEqual([name]);
  expect(readDetails(answered).info).toMatchObject({
    reason: 'WAIT_EXPIRED',
    metadata: { operation: name, delivery: 'unknown' },
  });
  expect(await (await gate.metrics.render()).text).toContain('outcome="ACCEPTED"');
});

test('a recorded call names its operation in initial metadata before there is an answer', async () => {
  const operation = makeOperation();
  const seen = Promise.withResolvers<string>();
  const gate = await open({
    handle: async (call) => {
      const { onRecorded } = call;
      onRecorded?.(operation);
      await seen.promise;
      return answerWith(call.command, { id: 'g1' }, { headers: [['etag', 'late']], operationId: operation.id });
    },
  });
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0), {
    onHeaders: (headers) => seen.resolve(String(headers.get('sluice-operation')[0])),
  });
  expect(await seen.promise).toBe(`operations/${operation.id}`);
  expect(answered.status.code).toBe(status.OK);
  // Initial metadata had left: the worker's headers come behind instead of being lost.
  expect(answered.status.metadata.get('etag')).toEqual(['late']);
});

test('headers and trailers of a worker become metadata, but for those that would break the response', async () => {
  const headers: [string, string][] = [
    ['ETag', '"1"'],
    ['connection', 'close'],
    ['content-length', '1'],
    ['grpc-status', '5'],
    ['bad name', 'x'],
    ['raw-bin', 'AAAA'],
    ['umlaut', 'ü'],
    ['etag', '"2"'],
  ];
  const gate = await open({
    handle: async (call) => answerWith(call.command, {}, { headers, trailers: [['took', '5'], ...headers] }),
  });
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0));
  expect(answered.status.code).toBe(status.OK);
  expect(answered.headers?.get('etag')).toEqual(['"2"']);
  expect(answered.status.metadata.get('took')).toEqual(['5']);
  for (const metadata of [answered.headers, answered.status.metadata]) {
    for (const name of ['connection', 'bad name', 'raw-bin', 'umlaut']) expect(metadata?.get(name)).toEqual([]);
  }
});

test('a one-way command answers with the empty message', async () => {
  const gate = await open({ handle: async () => ({ kind: 'noted', operationId: 'x' }) });
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0));
  expect(answered.status.code).toBe(status.OK);
  expect(answered.bytes).toEqual(Buffer.alloc(0));
});

test('a worker’s error keeps its code, message and details', async () => {
  const workerError = { grpcCode: 'FAILED_PRECONDITION', message: 'sold out', details: { sku: 'X' } } as const;
  const failure = new Failure('COMMAND_FAILED', 'sold out', { delivery: 'failed', workerError, operationId: 'abc' });
  const gate = await open({ handle: failingHandle(failure) });
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0));
  expect(answered.status).toMatchObject({ code: status.FAILED_PRECONDITION, details: 'sold out' });
  const details = readDetails(answered);
  expect(details.info).toMatchObject({
    reason: 'COMMAND_FAILED',
    metadata: { delivery: 'failed', operation: 'operations/abc' },
  });
  expect(details.typeUrls).toContain('type.googleapis.com/google.protobuf.Value');
});

test('a refusal that may be repeated says when', async () => {
  const gate = await open({ handle: failingHandle(new Failure('OVERLOADED', 'full', { retryAfterMs: 1500 })) });
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0));
  expect(answered.status.code).toBe(status.UNAVAILABLE);
  expect(readDetails(answered).retry).toMatchObject({ retryDelay: { seconds: 1n, nanos: 500_000_000 } });
});

test('a defect is logged with its cause and told to the caller without it', async () => {
  const error = vi.fn();
  const gate = await open({
    handle: failingHandle(new TypeError('password is hunter2')),
    logger: { ...silentLogger, error },
  });
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0));
  expect(answered.status.code).toBe(status.INTERNAL);
  expect(answered.status.details).not.toContain('hunter2');
  expect(readDetails(answered).info).toMatchObject({ reason: 'INTERNAL', metadata: { delivery: 'unknown' } });
  expect(error.mock.calls[0]?.[0]).toMatchObject({ err: expect.any(TypeError), requestId: 'request-1' });
});

test.each([
  ['a lone surrogate', 'broken \ud800 text'],
  ['a very long text', 'ü'.repeat(20_000)],
  ['control characters', 'a\n\u0000b%'],
])('a worker’s message with %s reaches the caller in a header', async (_, message) => {
  const workerError = { grpcCode: 'ABORTED', message, details: { long: 'x'.repeat(20_000) } } as const;
  const gate = await open({ handle: failingHandle(new Failure('COMMAND_FAILED', message, { workerError })) });
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0));
  expect(answered.status.code).toBe(status.ABORTED);
  expect(answered.status.details.length).toBeGreaterThan(0);
  expect(encodeURI(answered.status.details).length).toBeLessThanOrEqual(1024);
  expect(readDetails(answered).info?.metadata['detailsOmitted']).toBeDefined();
});

test('a request over the limit is RESOURCE_EXHAUSTED and never reaches the handle', async () => {
  const { calls, handle } = keepCalls();
  const gate = await open({ handle, options: { maxMessageBytes: 100 } });
  const answered = await callMethod(gate, GRIND, { id: 'x'.repeat(200) });
  expect(answered.status.code).toBe(status.RESOURCE_EXHAUSTED);
  expect(readDetails(answered).info).toMatchObject({
    reason: 'REQUEST_TOO_LARGE',
    metadata: { delivery: 'not_sent' },
  });
  expect(calls).toEqual([]);
});

/** A call with any headers and any body, which no gRPC client would make. */
async function sendFrames(gate: GrpcGate, headers: OutgoingHttpHeaders, body: Buffer): Promise<unknown> {
  const session = connect(`http://127.0.0.1:${gate.port}`);
  const fixed = { ':method': 'POST', ':path': GRIND, 'content-type': 'application/grpc', te: 'trailers' };
  const stream = session.request({ ...fixed, ...headers });
  const ended = new Promise<unknown>((resolve, reject) => {
    stream.on('response', (response) => response['grpc-status'] !== undefined && resolve(response['grpc-status']));
    stream.on('trailers', (trailers) => resolve(trailers['grpc-status']));
    stream.on('error', reject);
  });
  stream.resume();
  stream.end(body);
  return ended.finally(() => session.destroy());
}

const EMPTY_MESSAGE = Buffer.alloc(5);

test.each([
  ['a deadline that is none', { 'grpc-timeout': 'abc' }, EMPTY_MESSAGE, status.INVALID_ARGUMENT],
  ['broken gzip', { 'grpc-encoding': 'gzip' }, Buffer.from([1, 0, 0, 0, 1, 9]), status.INVALID_ARGUMENT],
  ['an unknown compression', { 'grpc-encoding': 'br' }, Buffer.from([1, 0, 0, 0, 1, 9]), status.UNIMPLEMENTED],
  ['no message', {}, Buffer.alloc(0), status.UNIMPLEMENTED],
  ['two messages', {}, Buffer.concat([EMPTY_MESSAGE, EMPTY_MESSAGE]), status.UNIMPLEMENTED],
  ['half a message', {}, Buffer.from([0, 0, 0, 0, 9, 1]), status.UNIMPLEMENTED],
])('%s is refused and never reaches the handle', async (_, headers, body, code) => {
  const { calls, handle } = keepCalls();
  const gate = await open({ handle });
  expect(await sendFrames(gate, {}, EMPTY_MESSAGE)).toBe('0');
  expect(await sendFrames(gate, headers, body)).toBe(String(code));
  expect(calls).toHaveLength(1);
});

// In 32 bits the first would be an hour, and others less than nothing. The second is the longest that Java asks for.
test.each(['1194H', '2562047H', '99999999H', '35792M', '2147484S', '99999999S'])(
  'a deadline of 25 days or more is none: %s',
  async (timeout) => {
    const { calls, handle } = keepCalls();
    const gate = await open({ handle });
    expect(await sendFrames(gate, { 'grpc-timeout': timeout }, EMPTY_MESSAGE)).toBe('0');
    expect(calls.map(({ wait }) => wait)).toEqual([{ kind: 'until', atMs: null }]);
  },
);

test.each(['596H', '99999999m', '2147483S'])('a deadline of 24 days is counted: %s', async (timeout) => {
  const { calls, handle } = keepCalls();
  const gate = await open({ handle });
  expect(await sendFrames(gate, { 'grpc-timeout': timeout }, EMPTY_MESSAGE)).toBe('0');
  expect(calls[0]?.wait).toEqual({ kind: 'until', atMs: expect.any(Number) });
});

test('a result over the limit says that the command has run', async () => {
  const gate = await open({
    handle: async (call) => answerWith(call.command, { id: 'x'.repeat(200) }),
    options: { maxResultBytes: 100 },
  });
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0));
  expect(answered.status.code).toBe(status.INTERNAL);
  expect(readDetails(answered).info).toMatchObject({ reason: 'RESULT_TOO_LARGE', metadata: { delivery: 'unknown' } });
});

test.each(['/mill.v1.Mill/Nothing', '/nobody.v1.Nothing/Here', '/google.longrunning.Operations/Nothing'])(
  'the unknown method %s is UNIMPLEMENTED, with details and a log line that holds no made-up name',
  async (path) => {
    const info = vi.fn();
    const gate = await open({ logger: { ...silentLogger, info } });
    const answered = await callRaw(gate, path, Buffer.alloc(0));
    expect(answered.status.code).toBe(status.UNIMPLEMENTED);
    expect(readDetails(answered).info).toMatchObject({
      domain: 'sluice',
      reason: 'ROUTE_NOT_FOUND',
      metadata: { delivery: 'not_sent', requestId: 'request-1' },
    });
    expect(info.mock.calls.map(([line]) => [line.command, line.outcome])).toEqual([['none', 'ROUTE_NOT_FOUND']]);
  },
);

test('a deadline that grpc-js notices first carries details, too', async () => {
  const gate = await open({ handle: () => new Promise(() => undefined) });
  // No deadline of the client's own: its clock would be first.
  const answered = await callRaw(gate, GRIND, Buffer.alloc(0), { metadata: { 'grpc-timeout': '1m' } });
  expect(answered.status.code).toBe(status.DEADLINE_EXCEEDED);
  expect(readDetails(answered).info).toMatchObject({ reason: 'WAIT_EXPIRED', metadata: { delivery: 'unknown' } });
});

test.each(['Pour', 'Fill', 'Run'])('the streaming method %s is refused with its reason', async (method) => {
  const { calls, handle } = keepCalls();
  const gate = await open({ handle });
  const answered = await callRaw(gate, `/mill.v1.Mill/${method}`, Buffer.alloc(0));
  expect(answered.status.code).toBe(status.UNIMPLEMENTED);
  expect(readDetails(answered).info).toMatchObject({
    reason: 'STREAMING_UNSUPPORTED',
    metadata: { delivery: 'not_sent' },
  });
  expect(calls).toEqual([]);
});

test('each call is one log line with what is known of it', async () => {
  const info = vi.fn();
  const gate = await open({ logger: { ...silentLogger, info } });
  await callRaw(gate, GRIND, Buffer.alloc(0));
  expect(info).toHaveBeenCalledTimes(1);
  expect(info.mock.calls[0]?.[0]).toMatchObject({
    command: 'mill.v1.Mill/Grind',
    status: 'OK',
    outcome: 'OK',
    requestId: 'request-1',
    durationMs: expect.any(Number),
  });
});
