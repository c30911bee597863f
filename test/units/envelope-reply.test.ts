import { RpcException } from '@nestjs/microservices';
import fastCheck from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isUnreadable, type ReplyRecord, readReply } from '../../src/channel/read-reply.ts';
import type { Reply, UnreadableReply } from '../../src/operations/reply.ts';

const encoder = new TextEncoder();
const correlationText = '01890a5d-ac96-774b-bcce-b302099a8057.3.uabc';
const position = { topic: 'replies', partition: 3, offset: 7n };

type Headers = Record<string, string | Uint8Array> | [string, string | Uint8Array][];

function makeRecord(headers: Headers, value: string | Uint8Array | null = '{}'): ReplyRecord {
  const list = Array.isArray(headers) ? headers : Object.entries({ kafka_correlationId: correlationText, ...headers });
  return {
    position,
    key: null,
    value: typeof value === 'string' ? encoder.encode(value) : value,
    headers: list.map(([name, text]) => [name, typeof text === 'string' ? encoder.encode(text) : text]),
    timestampMs: 1,
  };
}

const read = (headers: Headers, value?: string | Uint8Array | null) =>
  readReply(makeRecord(headers, value), { maxResultBytes: 1000 });

function readable(headers: Headers, value?: string | Uint8Array | null): Reply {
  const reply = read(headers, value);
  if (isUnreadable(reply)) throw new Error(reply.reason);
  return reply;
}

function unreadable(headers: Headers, value?: string | Uint8Array | null): UnreadableReply {
  const reply = read(headers, value);
  if (!isUnreadable(reply)) throw new Error('it could be read');
  return reply;
}

describe('a reply record', () => {
  it('needs nothing but the correlation id: it is a result then', () => {
    expect(readable({}, '{"a":1}')).toMatchObject({
      kind: 'result',
      correlation: { operationId: '01890a5d-ac96-774b-bcce-b302099a8057', homePartition: 3, unrecordedBy: 'abc' },
      position,
      contentType: null,
      httpStatus: null,
      error: null,
      progress: null,
      sequence: null,
    });
  });

  it('is kept as it came, not copied, and says whether it was sent on once', () => {
    const record = makeRecord({ mine: 'x' });
    const reply = readReply(record, { maxResultBytes: 1000 });
    expect(reply.raw.headers).toBe(record.headers);
    expect(reply.raw.value).toBe(record.value);
    expect(reply.isRehomed).toBe(false);
    expect(readable({ 'sluice-rehomed': '1/2' }).isRehomed).toBe(true);
    const broken = unreadable({ 'sluice-kind': 'perhaps', 'sluice-rehomed': '1/2' });
    expect([broken.isRehomed, Buffer.from(broken.raw.value!).toString()]).toEqual([true, '{}']);
  });

  it.each(['accepted', 'progress', 'item', 'end', 'result', 'error'])('is of kind %s where it says so', (kind) => {
    expect(readable({ 'sluice-kind': kind }).kind).toBe(kind);
  });

  it('with a null value is an empty result', () => {
    expect(readable({}, null)).toMatchObject({ kind: 'result', value: null });
  });

  it('takes the last of duplicate headers', () => {
    const headers: [string, string][] = [
      ['kafka_correlationId', 'nonsense'],
      ['sluice-kind', 'error'],
      ['kafka_correlationId', correlationText],
      ['sluice-kind', 'accepted'],
      ['sluice-header-etag', 'a'],
      ['sluice-header-ETag', 'b'],
    ];
    expect(readable(headers)).toMatchObject({ kind: 'accepted', headers: [['etag', 'b']] });
  });

  it.each([
    ['201', 201],
    ['299', 299],
    ['200', 200],
    ['300', null],
    ['404', null],
    ['20', null],
    ['abc', null],
  ])('with the HTTP status %s has %s', (text, expected) => {
    expect(readable({ 'sluice-http-status': text }).httpStatus).toBe(expected);
  });

  it('carries response headers and trailers, and none that no response can have', () => {
    const reply = readable({
      'sluice-header-Location': '/v1/orders/1',
      'sluice-header-x-split': 'a\r\nset-cookie: b',
      'sluice-header-bad name': 'x',
      'sluice-header-': 'x',
      'sluice-trailer-x-cost': ' 3 ',
    });
    expect(reply.headers).toEqual([['location', '/v1/orders/1']]);
    expect(reply.trailers).toEqual([['x-cost', '3']]);
  });

  it('has a place in its run where it says so', () => {
    expect(readable({ 'sluice-run': 'r', 'sluice-seq': '12' }).sequence).toEqual({ run: 'r', number: 12 });
    expect(readable({ 'sluice-run': 'r', 'sluice-seq': 'x' }).sequence).toBeNull();
    expect(readable({ 'sluice-seq': '1' }).sequence).toBeNull();
  });
});

describe('progress', () => {
  const progress = (value: string | null) => readable({ 'sluice-kind': 'progress' }, value).progress;

  it.each([
    ['{"percent":40,"message":"packing"}', { percent: 40, message: 'packing' }],
    ['{"percent":-1}', { percent: 0, message: null }],
    ['{"percent":1e9}', { percent: 100, message: null }],
    ['{"percent":"40","message":5}', { percent: null, message: null }],
    ['not json', { percent: null, message: null }],
    ['[]', { percent: null, message: null }],
    ['{"message":"a\\u0000b"}', { percent: null, message: 'ab' }],
    [null, { percent: null, message: null }],
  ])('%s is a sign of life whatever it says', (value, expected) => {
    expect(progress(value)).toEqual(expected);
  });
});

describe('an error', () => {
  const error = (headers: Headers, value?: string | Uint8Array | null) => readable(headers, value).error;

  it.each([
    ['its code in the header', { 'sluice-code': 'NOT_FOUND' }, '{"message":"m"}', 'NOT_FOUND', 'm'],
    ['its code in the value', {}, '{"code":"ABORTED","message":"m"}', 'ABORTED', 'm'],
    ['a header that wins', { 'sluice-code': 'NOT_FOUND' }, '{"code":"ABORTED","message":"m"}', 'NOT_FOUND', 'm'],
    ['a code by number', {}, '{"code":5,"message":"m"}', 'NOT_FOUND', 'm'],
    ['no code', {}, '{"message":"m"}', 'UNKNOWN', 'm'],
    ['a code that gRPC lacks', { 'sluice-code': 'TEAPOT' }, '{"message":"m"}', 'UNKNOWN', 'm'],
    ['a code that names a property', { 'sluice-code': 'toString' }, '{}', 'UNKNOWN', ''],
    ['the code OK', {}, '{"code":"OK","message":"m"}', 'UNKNOWN', 'm'],
    ['the number of OK', {}, '{"code":0,"message":"m"}', 'UNKNOWN', 'm'],
    ['a plain text', { 'sluice-code': 'INTERNAL' }, 'out of paper', 'INTERNAL', 'out of paper'],
    ['no value', {}, null, 'UNKNOWN', ''],
    ['NUL in its text', {}, '{"message":"a\\u0000b"}', 'UNKNOWN', 'ab'],
    ['a status of a problem', {}, '{"title":"t","status":404,"detail":"d"}', 'NOT_FOUND', 'd'],
    ['a problem with a title only', {}, '{"title":"t","status":503}', 'UNAVAILABLE', 't'],
    ['a status that is none', {}, '{"title":"t","status":418}', 'UNKNOWN', 't'],
  ])('with %s', (_, headers, value, grpcCode, message) => {
    expect(error({ 'sluice-kind': 'error', ...headers }, value)).toMatchObject({ grpcCode, message });
  });

  it('keeps the details, without NUL', () => {
    const value = '{"code":"ABORTED","message":"m","details":{"sku":"a\\u0000","n":[1,null]}}';
    expect(error({ 'sluice-kind': 'error' }, value)?.details).toEqual({ sku: 'a', n: [1, null] });
  });

  it('keeps the whole of a problem as details', () => {
    const problem = { type: 'urn:x', title: 't', status: 409, balance: 3 };
    expect(error({ 'sluice-kind': 'error' }, JSON.stringify(problem))).toMatchObject({
      grpcCode: 'ABORTED',
      details: problem,
    });
  });

  it('drops details that are nested without end', () => {
    const value = `{"message":"m","details":${'['.repeat(400)}${']'.repeat(400)}}`;
    expect(error({ 'sluice-kind': 'error' }, value)).toMatchObject({ message: 'm', details: null });
  });

  it('without a kind is one all the same when it has a code', () => {
    expect(readable({ 'sluice-code': 'NOT_FOUND' }).kind).toBe('error');
  });
});

describe('a stock NestJS worker', () => {
  const disposed = { 'kafka_nest-is-disposed': new Uint8Array(1) };

  it('answers with a result', () => {
    expect(readable(disposed, '{"id":"1"}')).toMatchObject({ kind: 'result', error: null });
    expect(readable(disposed, null)).toMatchObject({ kind: 'result', value: null });
  });

  it.each([
    ['an RpcException of a text', new RpcException('sold out'), 'UNKNOWN', 'sold out'],
    ['one of an object with a code', new RpcException({ code: 'NOT_FOUND', message: 'no' }), 'NOT_FOUND', 'no'],
    [
      'one of an HTTP kind',
      new RpcException({ statusCode: 403, message: 'no', error: 'Forbidden' }),
      'PERMISSION_DENIED',
      'no',
    ],
    [
      'one of a list',
      new RpcException({ statusCode: 400, message: ['a is wrong', 'b is'] }),
      'INVALID_ARGUMENT',
      'a is wrong; b is',
    ],
  ])('answers with an error for %s', (_, exception, grpcCode, message) => {
    // What BaseRpcExceptionFilter makes of it, and ServerKafka puts into the header.
    const thrown = exception.getError();
    const sent = typeof thrown === 'object' ? thrown : { status: 'error', message: thrown };
    const reply = readable({ 'kafka_nest-err': JSON.stringify(sent), ...disposed }, null);
    expect(reply.kind).toBe('error');
    expect(reply.error).toMatchObject({ grpcCode, message });
  });

  it('answers with an error for a plain exception, and where nobody handles the message', () => {
    const plain = readable(
      { 'kafka_nest-err': '{"status":"error","message":"Internal server error"}', ...disposed },
      null,
    );
    expect(plain.error).toEqual({ grpcCode: 'UNKNOWN', message: 'Internal server error', details: null });
    const nobody = 'There is no matching message handler defined in the remote service.';
    expect(readable({ 'kafka_nest-err': nobody }, null).error?.message).toBe(nobody);
  });
});

describe('what cannot be read', () => {
  it('without a correlation id, or with a foreign one, belongs to nobody', () => {
    expect(unreadable([])).toMatchObject({ correlation: null, code: 'REPLY_INVALID', position, sizeBytes: 2 });
    expect(unreadable({ kafka_correlationId: 'x\u0000y' }).reason).toMatch(/not one of this gateway's, got "xy"/);
  });

  it('of an unknown kind names the operation', () => {
    const reply = unreadable({ 'sluice-kind': 'maybe' });
    expect(reply).toMatchObject({ code: 'REPLY_INVALID', correlation: { homePartition: 3 } });
    expect(reply.reason).toMatch(/sluice-kind: expected one of .*, got "maybe"/);
  });

  it('is too large past the bound, and not at it', () => {
    expect(unreadable({}, new Uint8Array(1001))).toMatchObject({
      code: 'RESULT_TOO_LARGE',
      correlation: { homePartition: 3 },
      sizeBytes: 1001,
    });
    expect(readable({}, new Uint8Array(1000)).kind).toBe('result');
    expect(readable({ 'sluice-kind': 'accepted' }, new Uint8Array(1001)).kind).toBe('accepted');
  });

  it('never throws', () => {
    const name = fastCheck.constantFrom(
      'kafka_correlationId',
      'sluice-kind',
      'sluice-code',
      'sluice-http-status',
      'sluice-run',
      'sluice-seq',
      'kafka_nest-err',
      'content-type',
      'sluice-header-x',
      'other',
    );
    const text = fastCheck.oneof(
      fastCheck.uint8Array({ maxLength: 40 }),
      fastCheck.constantFrom('error', 'progress', correlationText).map((words) => encoder.encode(words)),
      fastCheck.json().map((json) => encoder.encode(json)),
    );
    fastCheck.assert(
      fastCheck.property(fastCheck.array(fastCheck.tuple(name, text)), fastCheck.option(text), (headers, value) => {
        const reply = readReply(makeRecord([['kafka_correlationId', correlationText], ...headers], value), {
          maxResultBytes: 30,
        });
        expect(reply.position).toBe(position);
        JSON.stringify(reply, (_, item) => (typeof item === 'bigint' ? String(item) : item));
      }),
      { numRuns: 500 },
    );
  });
});
