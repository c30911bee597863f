/**
 * Canonical proto3 JSON (protobuf.dev/programming-guides/json), both directions: what a request is read as and written
 * to the record, and what a reply is rendered as. The binary form in between is what a gRPC caller sees.
 */

import { describe, expect, test } from 'vitest';
import { parseJsonBody } from '../../src/contract/json-body.ts';
import { commandOf, failureOf, loadProto } from './contract-support.ts';

const contract = await loadProto(`
service S {
  rpc A(All) returns (All) { option (google.api.http) = { post: "/a" body: "*" }; }
  rpc Nothing(google.protobuf.Empty) returns (google.protobuf.Empty);
  rpc Top(google.protobuf.Struct) returns (google.protobuf.Value);
}
message All {
  int32 int32 = 1; sint32 sint32 = 2; sfixed32 sfixed32 = 3; uint32 uint32 = 4; fixed32 fixed32 = 5;
  int64 int64 = 6; sint64 sint64 = 7; sfixed64 sfixed64 = 8; uint64 uint64 = 9; fixed64 fixed64 = 10;
  float float = 11; double double = 12; bool bool = 13; string string = 14; bytes bytes = 15;
  Color color = 16; All child = 17; optional int32 maybe = 18;
  repeated int32 numbers = 19; repeated string texts = 20; repeated Color colors = 21; repeated All children = 22;
  map<string, string> by_text = 23; map<int32, string> by_int = 24; map<bool, int32> by_bool = 25;
  map<int64, All> by_long = 26; map<string, Color> color_of = 27; map<uint64, bytes> blobs = 28;
  oneof choice { string left = 29; int32 right = 30; All both = 31; google.protobuf.NullValue none = 32; }
  string odd_name = 33 [json_name = "veryOdd"];
  google.protobuf.Timestamp at = 40; google.protobuf.Duration lasts = 41; google.protobuf.FieldMask mask = 42;
  google.protobuf.Struct struct = 43; google.protobuf.Value value = 44; google.protobuf.ListValue list = 45;
  google.protobuf.Any any = 46; google.protobuf.Empty empty = 47; google.protobuf.NullValue null = 48;
  google.protobuf.Int32Value w_int32 = 50; google.protobuf.UInt32Value w_uint32 = 51; google.protobuf.Int64Value w_int64 = 52;
  google.protobuf.UInt64Value w_uint64 = 53; google.protobuf.FloatValue w_float = 54; google.protobuf.DoubleValue w_double = 55;
  google.protobuf.BoolValue w_bool = 56; google.protobuf.StringValue w_string = 57; google.protobuf.BytesValue w_bytes = 58;
  repeated google.protobuf.Value values = 60; repeated google.protobuf.Timestamp times = 61;
  map<string, google.protobuf.Duration> durations = 62;
}
enum Color { option allow_alias = true; COLOR_UNSPECIFIED = 0; RED = 1; CRIMSON = 1; BELOW = -1; }
`);

const { codec } = commandOf(contract, 'test.v1.S/A');

/** Through every path that a value takes: JSON → message → binary → message → record and JSON reply. */
function roundTrip(text: string): unknown {
  const message = codec.requestFromJson(parseJsonBody(Buffer.from(text)));
  const rendered = codec.requestToJson(message);
  expect(Buffer.from(codec.encodeRequest(message).value).toString()).toBe(rendered);
  const reply = codec.replyFromWire(Buffer.from(text), 'application/json');
  expect(codec.replyToJson(reply)).toBe(rendered);
  const throughBinary = codec.requestFromBinary(codec.replyToBinary(reply));
  expect(codec.requestToJson(throughBinary)).toBe(rendered);
  return JSON.parse(rendered);
}

/** Input, and what it is written as where that differs. */
const ACCEPTED: readonly (readonly [string, string, string?])[] = [
  ['an empty message', '{}'],
  ['int32', '{"int32":-2147483648}'],
  ['int32 at its top', '{"int32":2147483647}'],
  ['int32 as a string', '{"int32":"-12"}', '{"int32":-12}'],
  ['int32 with a fraction of zero', '{"int32":1.0}', '{"int32":1}'],
  ['int32 with an exponent', '{"int32":1e3}', '{"int32":1000}'],
  ['int32 as a string with an exponent', '{"int32":"1e3"}', '{"int32":1000}'],
  ['sint32 and sfixed32', '{"sint32":-1,"sfixed32":-2}'],
  ['uint32 and fixed32 at their top', '{"uint32":4294967295,"fixed32":4294967295}'],
  ['zero of a field without presence', '{"int32":0,"string":"","bool":false}', '{}'],
  ['zero of an optional field', '{"maybe":0}'],
  ['int64 is a string', '{"int64":"-9223372036854775808"}'],
  ['int64 as a number', '{"int64":42}', '{"int64":"42"}'],
  ['int64 as the largest safe number', '{"int64":9007199254740991}', '{"int64":"9007199254740991"}'],
  ['sint64 and sfixed64', '{"sint64":"-1","sfixed64":"9223372036854775807"}'],
  ['uint64 and fixed64 at their top', '{"uint64":"18446744073709551615","fixed64":"18446744073709551615"}'],
  ['float and double', '{"float":1.5,"double":-0.1}'],
  ['double as a string', '{"double":"1.5e-3"}', '{"double":0.0015}'],
  ['NaN', '{"float":"NaN","double":"NaN"}'],
  ['Infinity', '{"float":"Infinity","double":"-Infinity"}'],
  ['the largest double', '{"double":1.7976931348623157e308}'],
  ['bool', '{"bool":true}'],
  ['string with escapes', '{"string":"a\\"\\\\\\n\\u00e9\\ud83d\\ude00"}'],
  ['bytes in base64', '{"bytes":"+/8="}'],
  ['bytes in base64url', '{"bytes":"-_8"}', '{"bytes":"+/8="}'],
  ['bytes without padding', '{"bytes":"YQ"}', '{"bytes":"YQ=="}'],
  ['enum by name', '{"color":"RED"}'],
  ['enum by number', '{"color":-1}', '{"color":"BELOW"}'],
  ['enum by the name of an alias', '{"color":"CRIMSON"}', '{"color":"RED"}'],
  ['enum by an unknown number', '{"color":77}'],
  ['enum of value zero', '{"color":"COLOR_UNSPECIFIED"}', '{}'],
  ['a message, also when it is empty', '{"child":{}}'],
  ['messages in messages', '{"child":{"child":{"int32":1}}}'],
  [
    'lists',
    '{"numbers":[1,2],"texts":["","a"],"colors":["RED",0],"children":[{},{"int32":1}]}',
    '{"numbers":[1,2],"texts":["","a"],"colors":["RED","COLOR_UNSPECIFIED"],"children":[{},{"int32":1}]}',
  ],
  ['an empty list', '{"numbers":[]}', '{}'],
  ['a map by string', '{"byText":{"":"a","b":""}}'],
  ['a map by int', '{"byInt":{"-1":"a","2":"b"}}', '{"byInt":{"2":"b","-1":"a"}}'],
  ['a map by bool', '{"byBool":{"true":1,"false":0}}'],
  ['a map of messages by int64', '{"byLong":{"9223372036854775807":{"int32":1}}}'],
  ['a map of enums', '{"colorOf":{"a":"RED"}}'],
  ['a map of bytes by uint64', '{"blobs":{"18446744073709551615":"YQ=="}}'],
  ['a map with names of prototypes as keys', '{"byText":{"__proto__":"a","constructor":"b"}}'],
  ['json_name', '{"veryOdd":"a"}'],
  ['the proto name of a field with json_name', '{"odd_name":"a"}', '{"veryOdd":"a"}'],
  ['proto names', '{"by_text":{"a":"b"},"w_int32":1}', '{"byText":{"a":"b"},"wInt32":1}'],
  [
    'null is unset',
    '{"int32":null,"string":null,"child":null,"numbers":null,"byText":null,"color":null,"maybe":null}',
    '{}',
  ],
  ['null in a oneof is unset', '{"left":null,"right":5}', '{"right":5}'],
  ['a oneof, also with its default', '{"left":""}'],
  ['NullValue in a oneof', '{"none":null}'],
  ['a NullValue field', '{"null":null}', '{}'],
  ['Timestamp', '{"at":"1972-01-01T10:00:20.021Z"}'],
  ['Timestamp without fraction', '{"at":"1970-01-01T00:00:00Z"}'],
  [
    'Timestamp in 0, 3, 6 or 9 digits',
    '{"at":"1972-01-01T10:00:20.0210001Z"}',
    '{"at":"1972-01-01T10:00:20.021000100Z"}',
  ],
  ['Timestamp with an offset', '{"at":"1972-01-01T10:00:20+01:30"}', '{"at":"1972-01-01T08:30:20Z"}'],
  ['the first and the last Timestamp', '{"times":["0001-01-01T00:00:00Z","9999-12-31T23:59:59.999999999Z"]}'],
  ['Timestamp of a leap day', '{"at":"2024-02-29T00:00:00Z"}'],
  ['Duration', '{"lasts":"1.500s"}'],
  ['Duration in 0, 3, 6 or 9 digits', '{"lasts":"1.0000001s"}', '{"lasts":"1.000000100s"}'],
  ['negative Duration', '{"lasts":"-0.500s"}'],
  ['the longest Duration', '{"durations":{"a":"315576000000s","b":"-315576000000s"}}'],
  ['FieldMask', '{"mask":"fooBar,baz.quxQuux"}'],
  ['an empty FieldMask', '{"mask":""}'],
  [
    'wrappers',
    '{"wInt32":1,"wUint32":2,"wInt64":"3","wUint64":"4","wFloat":1.5,"wDouble":"NaN","wBool":true,"wString":"a","wBytes":"YQ=="}',
  ],
  ['wrappers of zero are set', '{"wInt32":0,"wInt64":"0","wBool":false,"wString":"","wBytes":""}'],
  ['null of a wrapper is unset', '{"wInt32":null}', '{}'],
  ['Struct', '{"struct":{"a":1,"b":[true,null,"x"],"c":{"d":{}}}}'],
  ['Struct with names of prototypes', '{"struct":{"__proto__":{"a":1},"constructor":2}}'],
  ['Value of each kind', '{"values":[null,1.5,"a",false,{"a":1},[1]]}'],
  ['Value of null is set', '{"value":null}'],
  ['ListValue', '{"list":[1,"a",null,[],{}]}'],
  ['an empty ListValue and Struct', '{"struct":{},"list":[]}'],
  [
    'Any of a message',
    '{"any":{"@type":"type.googleapis.com/test.v1.All","int32":1}}',
    '{"any":{"int32":1,"@type":"type.googleapis.com/test.v1.All"}}',
  ],
  [
    'Any of a type with a form of its own',
    '{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1.5s"}}',
    '{"any":{"value":"1.500s","@type":"type.googleapis.com/google.protobuf.Duration"}}',
  ],
  ['an empty Any', '{"any":{}}'],
  ['Empty', '{"empty":{}}'],
  ['a name given twice: the last counts', '{"int32":1,"int32":2}', '{"int32":2}'],
  ['blanks around', ' \n{ "int32" : 1 }\t', '{"int32":1}'],
];

describe('read and written', () => {
  test.each(ACCEPTED.map(([name, text, written = text]) => [name, text, written] as const))(
    '%s: %s',
    (_, text, written) => {
      const result = roundTrip(text);
      expect(JSON.stringify(result)).toBe(JSON.stringify(JSON.parse(written)));
    },
  );
});

/** Input, and where the fault is. */
const REFUSED: readonly (readonly [string, string, string])[] = [
  ['an unknown field', '{"nothing":1}', '#/nothing'],
  [
    'an unknown field far down',
    '{"children":[{},{"child":{"byLong":{"1":{"nothing":1}}}}]}',
    '#/children/1/child/byLong/1/nothing',
  ],
  ['a name of a prototype', '{"__proto__":{"int32":1}}', '#/__proto__'],
  ['a name of a constructor', '{"constructor":{"prototype":{"a":1}}}', '#/constructor'],
  ['a field by both its names', '{"odd_name":"a","veryOdd":"b"}', '#/veryOdd'],
  ['no object', '[]', '#'],
  ['null as a whole', 'null', '#'],
  ['a text as a whole', '"a"', '#'],
  ['int32 over its top', '{"int32":2147483648}', '#/int32'],
  ['int32 below its bottom', '{"int32":-2147483649}', '#/int32'],
  ['int32 with a fraction', '{"int32":1.5}', '#/int32'],
  ['int32 of blank text', '{"int32":" 1"}', '#/int32'],
  ['int32 of no text', '{"int32":""}', '#/int32'],
  ['int32 in hexadecimal', '{"int32":"0x10"}', '#/int32'],
  ['int32 of an object', '{"int32":{}}', '#/int32'],
  ['uint32 below zero', '{"uint32":-1}', '#/uint32'],
  ['int64 over its top', '{"int64":"9223372036854775808"}', '#/int64'],
  ['int64 as a number that JSON has rounded', '{"int64":9007199254740993}', '#/int64'],
  ['int64 in hexadecimal', '{"int64":"0x10"}', '#/int64'],
  ['int64 of no text', '{"int64":""}', '#/int64'],
  ['int64 with a fraction', '{"int64":1.5}', '#/int64'],
  ['uint64 below zero', '{"uint64":"-1"}', '#/uint64'],
  ['float out of range', '{"float":3.5e38}', '#/float'],
  ['double beyond JSON', '{"double":1e400}', '#/double'],
  ['double of words', '{"double":"one"}', '#/double'],
  ['double by another name of Infinity', '{"double":"+Infinity"}', '#/double'],
  ['bool of text', '{"bool":"true"}', '#/bool'],
  ['bool of a number', '{"bool":1}', '#/bool'],
  ['string of a number', '{"string":1}', '#/string'],
  ['string with half a surrogate pair', '{"string":"\\ud83d"}', '#/string'],
  ['string with NUL', '{"string":"a\\u0000b"}', '#/string'],
  ['bytes of no base64', '{"bytes":"a*b"}', '#/bytes'],
  ['bytes with blanks', '{"bytes":"YQ ="}', '#/bytes'],
  ['enum by an unknown name', '{"color":"BLUE"}', '#/color'],
  ['enum by another case', '{"color":"red"}', '#/color'],
  ['enum with a fraction', '{"color":1.5}', '#/color'],
  ['enum beyond int32', '{"color":2147483648}', '#/color'],
  ['a list that is none', '{"numbers":1}', '#/numbers'],
  ['null in a list', '{"numbers":[1,null]}', '#/numbers/1'],
  ['null in a list of messages', '{"children":[null]}', '#/children/0'],
  ['a wrong item', '{"texts":["a",1]}', '#/texts/1'],
  ['a map that is none', '{"byText":[]}', '#/byText'],
  ['null in a map', '{"byText":{"a":null}}', '#/byText/a'],
  ['a wrong key of int', '{"byInt":{"a":"b"}}', '#/byInt/a'],
  ['a wrong key of bool', '{"byBool":{"yes":1}}', '#/byBool/yes'],
  ['a wrong value in a map', '{"colorOf":{"a/b~c":"BLUE"}}', '#/colorOf/a~1b~0c'],
  ['a message that is none', '{"child":1}', '#/child'],
  ['two members of a oneof', '{"left":"a","right":1}', '#/right'],
  ['two members of a oneof far down', '{"child":{"both":{},"left":"a"}}', '#/child/left'],
  ['Timestamp of words', '{"at":"today"}', '#/at'],
  ['Timestamp without zone', '{"at":"1972-01-01T10:00:20"}', '#/at'],
  ['Timestamp in lower case', '{"at":"1972-01-01t10:00:20z"}', '#/at'],
  ['Timestamp of a day that is none', '{"at":"2023-02-29T00:00:00Z"}', '#/at'],
  ['Timestamp of hour 24', '{"at":"2023-02-28T24:00:00Z"}', '#/at'],
  ['Timestamp with ten digits', '{"at":"1972-01-01T10:00:20.0123456789Z"}', '#/at'],
  ['Timestamp before year 1', '{"at":"0000-01-01T00:00:00Z"}', '#/at'],
  ['Timestamp of a number', '{"at":0}', '#/at'],
  ['a wrong Timestamp in a list', '{"times":["1970-01-01T00:00:00Z","x"]}', '#/times/1'],
  ['Duration without s', '{"lasts":"1"}', '#/lasts'],
  ['Duration with more behind', '{"lasts":"1sx"}', '#/lasts'],
  ['Duration with ten digits', '{"lasts":"1.0123456789s"}', '#/lasts'],
  ['Duration over its top', '{"lasts":"315576000001s"}', '#/lasts'],
  ['FieldMask in snake case', '{"mask":"foo_bar"}', '#/mask'],
  ['FieldMask of a list', '{"mask":["a"]}', '#/mask'],
  ['a wrapper of an object', '{"wInt32":{"value":1}}', '#/wInt32'],
  ['a wrapper out of range', '{"wInt32":2147483648}', '#/wInt32'],
  ['Struct of a list', '{"struct":[]}', '#/struct'],
  ['ListValue of an object', '{"list":{}}', '#/list'],
  ['Any without type', '{"any":{"int32":1}}', '#/any'],
  ['Any of an unknown type', '{"any":{"@type":"type.googleapis.com/a.B"}}', '#/any'],
  ['Any with a wrong field', '{"any":{"@type":"type.googleapis.com/test.v1.All","int32":"x"}}', '#/any'],
  ['a key of a map in two spellings', '{"byLong":{"1":{},"01":{}}}', '#'],
  ['Empty with a field', '{"empty":{"a":1}}', '#/empty/a'],
];

describe('refused with a pointer to the place', () => {
  test.each(REFUSED)('%s: %s', (_, text, pointer) => {
    const failure = failureOf(() => codec.requestFromJson(parseJsonBody(Buffer.from(text))));
    expect(failure).toMatchObject({ code: 'REQUEST_INVALID', delivery: 'not_sent', httpStatus: 400 });
    expect(failure.violations.map((each) => each.pointer)).toEqual([pointer]);
    expect(failure.violations[0]?.detail).toMatch(/expected|is no field|is given twice|duplicate/);
  });

  test('all faults at once, up to twenty', () => {
    const numbers = Array.from({ length: 50 }, () => 'x');
    const failure = failureOf(() => codec.requestFromJson({ int32: 'a', numbers }));
    expect(failure.violations).toHaveLength(20);
    expect(failure.violations.slice(0, 2).map((each) => each.pointer)).toEqual(['#/int32', '#/numbers/0']);
  });

  test('an unknown field suggests the one that was meant', () => {
    const failure = failureOf(() => codec.requestFromJson({ colour: 'RED' }));
    expect(failure.violations[0]?.detail).toContain('`color`');
  });

  test('a request of Empty takes no field', () => {
    const nothing = commandOf(contract, 'test.v1.S/Nothing').codec;
    expect(nothing.requestToJson(nothing.requestFromJson({}))).toBe('{}');
    expect(failureOf(() => nothing.requestFromJson({ a: 1 })).violations[0]?.pointer).toBe('#/a');
  });
});

describe('bodies that are no JSON', () => {
  test.each([
    ['nothing', ''],
    ['half an object', '{"int32":1'],
    ['a trailing comma', '{"int32":1,}'],
    ['a comment', '{/**/}'],
    ['single quotes', "{'int32':1}"],
    ['NaN without quotes', '{"double":NaN}'],
    ['a raw control character', '{"string":"a\u0000b"}'],
    ['two values', '{}{}'],
    ['a leading zero', '{"int32":01}'],
  ])('%s is malformed', (_, text) => {
    const failure = failureOf(() => parseJsonBody(Buffer.from(text)));
    expect(failure).toMatchObject({ code: 'REQUEST_MALFORMED', delivery: 'not_sent' });
    expect(failure.violations).toMatchObject([{ pointer: '#' }]);
  });

  test.each([
    ['a lone continuation byte', [0x22, 0x80, 0x22]],
    ['an overlong form', [0x22, 0xc0, 0xaf, 0x22]],
    ['an encoded surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22]],
  ])('%s is no UTF-8', (_, bytes) => {
    expect(failureOf(() => parseJsonBody(Uint8Array.from(bytes))).code).toBe('REQUEST_MALFORMED');
  });

  test('the place of the fault is told, and the text around it is not', () => {
    const failure = failureOf(() => parseJsonBody(Buffer.from('{"secret":"s3cr3t",}')));
    expect(failure.message).toMatch(/position 19/);
    expect(failure.message).not.toContain('s3cr3t');
  });

  test('a lone surrogate in a name is refused', () => {
    expect(failureOf(() => parseJsonBody(Buffer.from('{"a":{"\\udc00":1}}'))).violations).toMatchObject([
      { pointer: '#/a' },
    ]);
  });
});

describe('nesting', () => {
  const nest = (depth: number) => `${'{"child":'.repeat(depth - 1)}{}${'}'.repeat(depth - 1)}`;

  test('is taken up to 64 messages and refused beyond', () => {
    codec.requestFromJson(parseJsonBody(Buffer.from(nest(64))));
    const failure = failureOf(() => codec.requestFromJson(parseJsonBody(Buffer.from(nest(65)))));
    expect(failure.violations[0]?.detail).toContain('64');
  });

  test.each([
    ['objects', '{"child":'.repeat(50_000)],
    ['lists in a Value', `{"value":${'['.repeat(50_000)}${']'.repeat(50_000)}}`],
    ['objects in an unknown field', `{"nothing":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`],
    ['lists with an escape in them', `{"value":${'['.repeat(50_000)}"\\u0041"${']'.repeat(50_000)}}`],
  ])('fifty thousand %s are refused, not followed', (_, text) => {
    const failure = failureOf(() => codec.requestFromJson(parseJsonBody(Buffer.from(text))));
    expect(failure.httpStatus).toBe(400);
    expect(failure.violations).toHaveLength(1);
  });

  test('of protobuf bytes is bounded alike', () => {
    let bytes = Buffer.alloc(0);
    // Field 17, length-delimited: tag 0x8a 0x01.
    for (let depth = 0; depth < 65; depth++) {
      const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7];
      bytes = Buffer.concat([Buffer.from([0x8a, 0x01, ...length]), bytes]);
    }
    expect(failureOf(() => codec.requestFromBinary(bytes)).code).toBe('REQUEST_MALFORMED');
  });
});

test('no request touches a prototype', () => {
  for (const text of [
    '{"__proto__":{"polluted":1}}',
    '{"struct":{"__proto__":{"polluted":1}}}',
    '{"byText":{"__proto__":"x"}}',
  ]) {
    try {
      roundTrip(text);
    } catch {
      // Refused is as good.
    }
  }
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  expect(Object.keys(Object.prototype)).toEqual([]);
});
