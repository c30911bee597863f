import { create, type DescMessage, type Message, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import type { Contract } from '../../src/contract/contract.ts';
import { commandOf, failureOf, loadProto, violationsOf } from './contract-support.ts';

const PROTO = `
service S {
  rpc Json(Req) returns (Rep) { option (sluice.v1.command) = { key: "owner.id" json: { names: PROTO emit_defaults: true } }; }
  rpc Binary(Req) returns (Rep) { option (sluice.v1.command) = { key: "number" encoding: PROTOBUF }; }
  rpc Enum(Req) returns (Rep) { option (sluice.v1.command) = { key: "color" }; }
  rpc Bytes(Req) returns (Rep) { option (sluice.v1.command) = { key: "raw" }; }
  rpc Choice(Req) returns (Rep) { option (sluice.v1.command) = { key: "left" }; }
  rpc Plain(Owner) returns (google.protobuf.Empty);
  rpc Long(Req) returns (google.longrunning.Operation) {
    option (google.longrunning.operation_info) = { response_type: "Rep" metadata_type: "Owner" };
  }
  rpc LongQualified(Req) returns (google.longrunning.Operation) {
    option (google.longrunning.operation_info) = { response_type: "test.v1.Rep" metadata_type: "Owner" };
  }
  rpc LongBare(Req) returns (google.longrunning.Operation);
}
enum Color { COLOR_UNSPECIFIED = 0; RED = 1; }
message Owner { string id = 1; }
message Req {
  Owner owner_ref = 9; Owner owner = 1; int64 number = 2; Color color = 3; bytes raw = 4; map<string, Owner> owners = 5;
  google.protobuf.Timestamp at = 6; google.protobuf.Any any = 7; oneof choice { string left = 10; int32 right = 11; }
  repeated google.protobuf.Timestamp times = 12; google.protobuf.Struct free = 13; fixed32 flags = 14;
}
message Rep { string id = 1; Color color = 2; Owner owner = 3; repeated Owner owners = 4; google.protobuf.Any any = 5; }
`;
const contract = await loadProto(PROTO);
const codecOf = (method: string, from: Contract = contract) => commandOf(from, `test.v1.S/${method}`).codec;
const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString());

function build(type: DescMessage, init: object): Message {
  return create(type, init as MessageInitShape<DescMessage>);
}

describe('records', () => {
  test('are JSON with the names and defaults that the policy asks for', () => {
    const codec = codecOf('Json');
    const { value, contentType } = codec.encodeRequest(codec.requestFromJson({ ownerRef: { id: 'a' } }));
    expect(contentType).toBe('application/json');
    expect(JSON.parse(text(value)!)).toEqual({
      owner_ref: { id: 'a' },
      number: '0',
      color: 'COLOR_UNSPECIFIED',
      raw: '',
      owners: {},
      times: [],
      flags: 0,
    });
  });

  test('are protobuf where the policy asks for that', () => {
    const codec = codecOf('Binary');
    const message = codec.requestFromJson({ number: '150' });
    expect(codec.encodeRequest(message)).toEqual({
      value: Uint8Array.from([0x10, 0x96, 0x01]),
      contentType: 'application/protobuf',
    });
  });

  test('keep fields that the contract lacks where both sides speak protobuf, and drop them in JSON', () => {
    const bytes = Uint8Array.from([0x10, 0x01, 0xb8, 0x06, 0x01]);
    const binary = codecOf('Binary');
    expect(binary.encodeRequest(binary.requestFromBinary(bytes)).value).toEqual(bytes);
    const json = codecOf('Enum');
    expect(text(json.encodeRequest(json.requestFromBinary(bytes)).value)).toBe('{"number":"1"}');
  });

  test.each([
    ['Json', { owner: { id: 'a' } }, 'a'],
    ['Json', { owner: {} }, null],
    ['Json', {}, null],
    ['Binary', { number: '-5' }, '-5'],
    ['Enum', { color: 'RED' }, 'RED'],
    ['Enum', { color: 7 }, '7'],
    ['Bytes', { raw: 'YWI=' }, 'ab'],
    ['Choice', { left: '' }, ''],
    ['Choice', { right: 1 }, null],
    ['Plain', { id: 'a' }, null],
  ])('have the key field as text: %s %j', (method, json, key) => {
    const codec = codecOf(method);
    expect(text(codec.keyOf(codec.requestFromJson(json)))).toBe(key);
  });

  test('what has no JSON form is refused with its place', () => {
    const codec = codecOf('Enum');
    const encode = (init: object) => violationsOf(() => codec.encodeRequest(build(codec.requestType, init)));
    expect(encode({ at: { seconds: 1n << 60n } })).toMatchObject([{ pointer: '#/at' }]);
    expect(encode({ times: [{}, { nanos: -1 }] })).toMatchObject([{ pointer: '#/times/1' }]);
    expect(encode({ any: { typeUrl: 'x/a.B' } })).toMatchObject([
      { pointer: '#/any', detail: expect.stringContaining('a.B') },
    ]);
  });
});

describe('protobuf requests', () => {
  test.each([
    ['a cut varint', [0x10]],
    ['a cut text', [0x0a, 0x05, 0x0a]],
    ['a field number of zero', [0x00, 0x00]],
    ['a wire type that is none', [0x17]],
    ['invalid UTF-8', [0x0a, 0x03, 0x0a, 0x01, 0xff]],
    ['an endless varint', [0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
  ])('%s is malformed', (_, bytes) => {
    const failure = failureOf(() => codecOf('Binary').requestFromBinary(Uint8Array.from(bytes)));
    expect(failure).toMatchObject({ code: 'REQUEST_MALFORMED', grpcCode: 'INVALID_ARGUMENT', delivery: 'not_sent' });
    expect(failure.violations).toHaveLength(1);
  });

  test('NUL in a text is refused with its place, zeros elsewhere are not', () => {
    const codec = codecOf('Enum');
    const bytesOf = (init: object) => toBinary(codec.requestType, build(codec.requestType, init));
    expect(violationsOf(() => codec.requestFromBinary(bytesOf({ owner: { id: 'a\0' } })))).toMatchObject([
      { pointer: '#/owner/id' },
    ]);
    const message = codec.requestFromBinary(bytesOf({ raw: Uint8Array.of(0), flags: 256 }));
    expect(codec.requestToJson(message)).toBe('{"raw":"AA==","flags":256}');
  });
});

describe('fingerprints', () => {
  const codec = codecOf('Enum');
  const of = (json: object) => text(codec.requestFingerprint(codec.requestFromJson(json as never)));

  test('are equal for equal messages, however they were written', () => {
    expect(of({ owners: { a: {}, b: {} }, number: 1 })).toBe(of({ number: '1', owners: { b: {}, a: {} } }));
    expect(of({ free: { a: 1, b: { c: 1, d: 2 } } })).toBe(of({ free: { b: { d: 2, c: 1 }, a: 1 } }));
  });

  test('differ for others', () => {
    expect(of({ owners: { a: {} } })).not.toBe(of({ owners: { b: {} } }));
    const plain = codecOf('Plain');
    const plainOf = (id: string) => text(plain.requestFingerprint(plain.requestFromJson({ id })));
    expect(plainOf('a')).toBe(plainOf('a'));
    expect(plainOf('a')).not.toBe(plainOf('b'));
  });

  test('exist for what has no JSON form', () => {
    expect(codec.requestFingerprint(build(codec.requestType, { any: { typeUrl: 'x/a.B' } })).length).toBeGreaterThan(0);
  });
});

describe('replies', () => {
  const codec = codecOf('Json');
  const binary = codecOf('Binary');
  const read = (value: string | Uint8Array | null, contentType: string | null, from = codec) =>
    JSON.parse(
      from.replyToJson(from.replyFromWire(typeof value === 'string' ? Buffer.from(value) : value, contentType)),
    );
  const bytes = Uint8Array.from([0x0a, 0x01, 0x61]);

  test.each([
    ['application/json', '{"id":"a"}'],
    ['application/json; charset=utf-8', '{"id":"a"}'],
    ['application/vnd.orders+json', '{"id":"a"}'],
    ['application/protobuf', bytes],
    ['application/x-protobuf', bytes],
    [null, '{"id":"a"}'],
    ['text/plain', '{"id":"a"}'],
    ['application/octet-stream', '{"id":"a"}'],
  ])('in %s are read', (contentType, value) => {
    expect(read(value, contentType)).toEqual({ id: 'a' });
  });

  test('without content type are read as the command is written', () => {
    expect(read(bytes, null, binary)).toEqual({ id: 'a' });
  });

  test('of nothing are the empty message', () => {
    expect(read(null, null)).toEqual({});
    expect(read('', 'application/json')).toEqual({});
    expect(read('null', 'application/json')).toEqual({});
    expect(read(new Uint8Array(0), 'application/protobuf')).toEqual({});
  });

  test('of a newer worker lose what the contract lacks, and that is counted', async () => {
    const fresh = codecOf('Json', await loadProto(PROTO));
    expect(read('{"id":"a","new":1,"owner":{"id":"b","newer":2}}', 'application/json', fresh)).toEqual({
      id: 'a',
      owner: { id: 'b' },
    });
    expect(fresh.droppedReplyFields).toBe(2);
    expect(read('{"color":"BLUE"}', 'application/json', fresh)).toEqual({});
    expect(fresh.droppedReplyFields).toBe(3);
    const message = fresh.replyFromWire(
      Uint8Array.from([0x1a, 0x03, 0xb8, 0x06, 0x01, 0xb8, 0x06, 0x01]),
      'application/protobuf',
    );
    expect(fresh.droppedReplyFields).toBe(5);
    expect([...fresh.replyToBinary(message)]).toEqual([0x1a, 0x00]);
  });

  test.each([
    ['broken JSON', '{', 'application/json'],
    ['JSON that is not UTF-8', Uint8Array.of(0x22, 0xff, 0x22), 'application/json'],
    ['a wrong type', '{"id":1}', 'application/json'],
    ['a wrong type beside an unknown field', '{"new":1,"id":1}', 'application/json'],
    ['a list', '[]', 'application/json'],
    ['broken protobuf', Uint8Array.of(0x0a, 0x05), 'application/protobuf'],
    ['another format', 'a,b', 'text/csv'],
  ])('that are %s are invalid, and what became of the command is unknown', (_, value, contentType) => {
    const failure = failureOf(() => read(value, contentType));
    expect(failure).toMatchObject({ code: 'REPLY_INVALID', httpStatus: 502, delivery: 'unknown' });
  });

  test('that have no JSON form are invalid for those who want JSON', () => {
    const reply = build(codec.replyType, { any: { typeUrl: 'x/a.B' } });
    expect(failureOf(() => codec.replyToJson(reply))).toMatchObject({ code: 'REPLY_INVALID', delivery: 'unknown' });
    expect(codec.replyToBinary(reply).length).toBeGreaterThan(0);
  });

  test('are canonical JSON, whatever the policy says of records', () => {
    expect(read('{"owner":{"id":"a"},"color":1}', 'application/json')).toEqual({ owner: { id: 'a' }, color: 'RED' });
  });

  test('of methods that return an operation are of the type that operation_info names', () => {
    expect(commandOf(contract, 'test.v1.S/Long')).toMatchObject({ returnsOperation: true });
    expect(codecOf('Long').replyType.typeName).toBe('test.v1.Rep');
    expect(codecOf('LongQualified').replyType.typeName).toBe('test.v1.Rep');
    expect(codecOf('LongBare').replyType.typeName).toBe('google.longrunning.Operation');
    expect(commandOf(contract, 'test.v1.S/Json').returnsOperation).toBe(false);
  });
});
