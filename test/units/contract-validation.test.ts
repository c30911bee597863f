import { describe, expect, test } from 'vitest';
import { call, commandOf, loadProto, violationsOf } from './contract-support.ts';

const contract = await loadProto(`
service S {
  rpc CallRules(Rules) returns (M) { option (google.api.http) = { post: "/rules/{name}" body: "*" }; }
  rpc CallRequired(Required) returns (M) { option (google.api.http) = { post: "/required" body: "*" }; }
  rpc CallNamed(Wrapped) returns (M) { option (google.api.http) = { post: "/named/{id}" body: "rules" }; }
  rpc Free(M) returns (M);
  rpc CallLoop(Loop) returns (M) { option (google.api.http) = { post: "/loop" body: "*" }; }
  rpc CallZero(Zero) returns (M) { option (google.api.http) = { post: "/zero" body: "*" }; }
}
message M { string a = 1; }
message Rules {
  string name = 1 [(buf.validate.field).string.pattern = "^[a-z]+$"];
  int32 size = 2 [(buf.validate.field).int32 = { gte: 0 lte: 10 }];
  repeated Item items = 3 [(buf.validate.field).repeated.max_items = 2];
  map<string, Item> by_name = 4 [(buf.validate.field).map.keys.string.min_len = 2];
  string first_day = 5; string last_day = 6;
  option (buf.validate.message).cel = {
    id: "days" message: "last_day must not be before first_day" expression: "this.first_day <= this.last_day"
  };
  oneof choice { option (buf.validate.oneof).required = true; string left = 7; string right = 8; }
}
message Item { string sku = 1 [(buf.validate.field).string.min_len = 1, json_name = "stockKeepingUnit"]; }
message Wrapped { string id = 1 [(buf.validate.field).string.max_len = 3]; Rules rules = 2; int32 page = 3 [(buf.validate.field).int32.lt = 5]; }
message Required {
  string text = 1 [(google.api.field_behavior) = REQUIRED];
  M message = 2 [(google.api.field_behavior) = REQUIRED];
  repeated Child children = 3 [(google.api.field_behavior) = REQUIRED];
  map<string, Child> by_name = 4 [(google.api.field_behavior) = REQUIRED];
  Color color = 5 [(google.api.field_behavior) = REQUIRED];
  optional int32 maybe = 6 [(google.api.field_behavior) = REQUIRED];
  int32 number = 7 [(google.api.field_behavior) = REQUIRED];
  bool flag = 8 [(google.api.field_behavior) = REQUIRED];
  string other = 9 [(google.api.field_behavior) = OPTIONAL];
  oneof choice { Child one = 10; string two = 11; }
}
message Child { string id = 1 [(google.api.field_behavior) = REQUIRED, (google.api.field_behavior) = IMMUTABLE]; }
enum Color { COLOR_UNSPECIFIED = 0; RED = 1; }
message Loop { string id = 1 [(google.api.field_behavior) = REQUIRED]; Loop next = 2; }
message Zero {
  int32 a = 1 [(buf.validate.field).cel = { id: "z" message: "z" expression: "10 / this > 0" }];
}
`);

const GOOD = { left: 'x' };
const rules = (body: object) => violationsOf(() => call(contract, 'POST', '/rules/good', { ...GOOD, ...body }));

describe('buf.validate', () => {
  test('lets through what keeps the rules', () => {
    expect(call(contract, 'POST', '/rules/good', { ...GOOD, size: 10 })).toEqual({
      CallRules: { name: 'good', size: 10, left: 'x' },
    });
  });

  test.each([
    ['a range', { size: 11 }, '#/size'],
    ['a rule within a list, by JSON names', { items: [{ stockKeepingUnit: 'a' }, {}] }, '#/items/1/stockKeepingUnit'],
    ['the size of a list', { items: Array.from({ length: 3 }, () => ({ stockKeepingUnit: 'a' })) }, '#/items'],
    ['a rule within a map', { byName: { ab: {} } }, '#/byName/ab/stockKeepingUnit'],
    ['the key of a map', { byName: { a: { stockKeepingUnit: 'a' } } }, '#/byName/a'],
    ['an expression over the message', { firstDay: 'b', lastDay: 'a' }, '#'],
  ])('points to the place of %s', (_, body, pointer) => {
    expect(rules(body)).toMatchObject([{ pointer, detail: expect.any(String) }]);
  });

  test('names all broken rules at once, with the rule’s own words', () => {
    expect(rules({ size: -1, firstDay: 'b' })).toEqual([
      { pointer: '#/size', detail: expect.stringContaining('must be') },
      { pointer: '#', detail: 'last_day must not be before first_day' },
    ]);
  });

  test('names the parameter that a value came from', () => {
    expect(violationsOf(() => call(contract, 'POST', '/rules/BAD', GOOD))).toMatchObject([{ parameter: 'name' }]);
    const named = violationsOf(() => call(contract, 'POST', '/named/long?page=7', { name: 'x', size: 11, left: 'a' }));
    expect(named).toMatchObject([{ parameter: 'id' }, { pointer: '#/size' }, { parameter: 'page' }]);
  });

  test('a required oneof is required', () => {
    expect(violationsOf(() => call(contract, 'POST', '/rules/good', {}))).toHaveLength(1);
  });

  test('a rule that fails on a value refuses the value', () => {
    expect(violationsOf(() => call(contract, 'POST', '/zero', { a: 0 }))).toHaveLength(1);
  });
});

describe('field_behavior = REQUIRED', () => {
  const COMPLETE = {
    text: 'a',
    message: {},
    children: [{ id: 'a' }],
    byName: { a: { id: 'a' } },
    color: 'RED',
    maybe: 0,
    number: 1,
  };

  test('lets through what is complete; false may be a required bool', () => {
    expect(call(contract, 'POST', '/required', COMPLETE)).toEqual({ CallRequired: COMPLETE });
  });

  test('names each field that is missing', () => {
    const pointers = violationsOf(() => call(contract, 'POST', '/required', {})).map((violation) => violation.pointer);
    expect(pointers).toEqual(['#/text', '#/message', '#/children', '#/byName', '#/color', '#/maybe', '#/number']);
  });

  test.each([
    [{ children: [{ id: 'a' }, {}] }, '#/children/1/id'],
    [{ byName: { 'a/b': {} } }, '#/byName/a~1b/id'],
    [{ one: {} }, '#/one/id'],
  ])('reaches into %j', (part, pointer) => {
    expect(violationsOf(() => call(contract, 'POST', '/required', { ...COMPLETE, ...part }))).toEqual([
      { pointer, detail: 'is required' },
    ]);
  });

  test('follows a type that holds itself', () => {
    expect(violationsOf(() => call(contract, 'POST', '/loop', { id: 'a', next: { id: 'b', next: {} } }))).toEqual([
      { pointer: '#/next/next/id', detail: 'is required' },
    ]);
  });
});

test('without an HTTP binding, places are those of the message', () => {
  const { codec } = commandOf(contract, 'test.v1.S/CallRules');
  const message = codec.requestFromJson({ name: 'BAD', left: 'x' });
  expect(violationsOf(() => codec.validateRequest(message))).toMatchObject([{ pointer: '#/name' }]);
});

test('a type without rules is not looked at', () => {
  const { codec } = commandOf(contract, 'test.v1.S/Free');
  const unreadable = new Proxy(codec.requestFromJson({}), {
    get() {
      throw new Error('looked at');
    },
  });
  expect(() => codec.validateRequest(unreadable)).not.toThrow();
});
