/** Whatever is sent is read or refused with a place, never anything else. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseJsonBody } from '../../src/contract/json-body.ts';
import { assembleRequest } from '../../src/contract/transcode.ts';
import { Failure } from '../../src/runtime/failure.ts';
import { commandOf, loadProto } from './contract-support.ts';

const contract = await loadProto(`
service S {
  rpc Whole(R) returns (R) { option (google.api.http) = { post: "/whole/{text}" body: "*" }; option (sluice.v1.command) = { key: "child.number" }; }
  rpc Part(R) returns (R) { option (google.api.http) = { post: "/part/{child.text=**}:do" body: "child" }; }
  rpc Query(R) returns (R) { option (google.api.http) = { get: "/query/{number}/{text=x/*}" }; }
}
message R {
  string text = 1 [(buf.validate.field).string.max_len = 20]; int32 number = 2; int64 long = 3; double double = 4; bool bool = 5;
  bytes bytes = 6; Color color = 7; R child = 8 [(google.api.field_behavior) = REQUIRED]; repeated R children = 9; map<string, R> by_name = 10;
  oneof choice { string left = 11; R right = 12; google.protobuf.Value value = 13; }
  google.protobuf.Timestamp at = 14; google.protobuf.Duration lasts = 15; google.protobuf.Struct free = 16;
  google.protobuf.Any any = 17; google.protobuf.FieldMask mask = 18; google.protobuf.Int64Value wrapped = 19;
  map<int32, Color> colors = 20; repeated google.protobuf.Timestamp times = 21;
}
enum Color { COLOR_UNSPECIFIED = 0; RED = 1; }
`);

/** Runs what an edge runs. @returns nothing; throws what is not a refusal in order. */
function serve(httpMethod: string, target: string, body: Uint8Array | undefined): void {
  try {
    const [path = '', query = ''] = target.split('?', 2);
    const match = contract.routes.match(httpMethod, path);
    if (match.kind !== 'match') return;
    const { command, binding, variables } = match;
    const message = assembleRequest(command, binding, variables, query, body && parseJsonBody(body));
    command.codec.validateRequest(message, binding);
    command.codec.encodeRequest(message);
    command.codec.requestFingerprint(message);
    command.codec.keyOf(message);
  } catch (error) {
    expectRefusal(error);
  }
}

function expectRefusal(error: unknown): void {
  if (!(error instanceof Failure)) throw error;
  expect(['REQUEST_MALFORMED', 'REQUEST_INVALID']).toContain(error.code);
  expect(error.delivery).toBe('not_sent');
  for (const { detail, pointer, parameter } of error.violations) {
    expect(detail).not.toBe('');
    expect(pointer ?? parameter).toBeTypeOf('string');
    if (pointer !== undefined) expect(() => decodeURIComponent(pointer)).not.toThrow();
  }
}

const names = fc.oneof(
  fc.constantFrom(
    'text',
    'number',
    'long',
    'double',
    'bool',
    'bytes',
    'color',
    'child',
    'children',
    'byName',
    'by_name',
    'left',
  ),
  fc.constantFrom(
    'right',
    'value',
    'at',
    'lasts',
    'free',
    'any',
    'mask',
    'wrapped',
    'colors',
    'times',
    '@type',
    '[a.b]',
  ),
  fc.constantFrom('__proto__', 'constructor', 'toString', '$typeName', '$unknown', ''),
  fc.string({ unit: 'binary', maxLength: 5 }),
);
const leaves = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    -0,
    1,
    -1,
    2 ** 31,
    2 ** 53,
    1e308,
    'RED',
    '1',
    'NaN',
    '',
    'type.googleapis.com/test.v1.R',
  ),
  fc.constantFrom(
    '2024-02-29T00:00:00Z',
    '2023-02-29T00:00:00Z',
    '1s',
    '1.5sx',
    '-0.1s',
    'a,b',
    'a_b',
    'YQ==',
    '-_8',
    '0x1',
    '\0',
  ),
  fc.string({ unit: 'binary', maxLength: 10 }),
  fc.double(),
);
const { value: json } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6, depthSize: 'medium' },
    leaves,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(names, tie('value'), { maxKeys: 4 }),
  ),
}));
const bodies = fc.oneof(
  { weight: 8, arbitrary: json.map((value) => Buffer.from(JSON.stringify(value))) },
  { weight: 1, arbitrary: json.map((value) => Buffer.from(JSON.stringify(value).slice(1))) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }) },
);
const words = fc.oneof(
  fc.constantFrom('a', '%2F', '%00', '%FF', '%', ':do', '//', '/', 'x', '+', '%20', '=', '&', '?', 'é', ':'),
  fc.string({ maxLength: 4 }),
);
const texts = fc.array(words, { maxLength: 6 }).map((parts) => parts.join(''));
const queries = fc
  .array(fc.tuple(fc.array(names, { minLength: 1, maxLength: 3 }), texts), { maxLength: 3 })
  .map((parameters) => parameters.map(([path, text]) => `${path.join('.')}=${text}`).join('&'));

test.each([
  ['POST', '/whole/'],
  ['POST', '/part/'],
  ['GET', '/query/'],
])('%s %s', (httpMethod, start) => {
  fc.assert(
    fc.property(texts, queries, fc.option(bodies, { nil: undefined }), (text, query, body) => {
      serve(httpMethod, `${start}${text}?${query}`, body);
      serve(httpMethod, `${start}a?${query}`, body);
    }),
    { numRuns: 1500 },
  );
});

test('bodies alone, to where they are encoded', () => {
  fc.assert(
    fc.property(bodies, (body) => {
      serve('POST', '/whole/a', body);
    }),
    { numRuns: 3000 },
  );
});

test('protobuf bytes', () => {
  const { codec } = commandOf(contract, 'test.v1.S/Whole');
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        const message = codec.requestFromBinary(bytes);
        codec.validateRequest(message);
        codec.encodeRequest(message);
      } catch (error) {
        expectRefusal(error);
      }
    }),
    { numRuns: 3000 },
  );
});

test('replies', () => {
  const { codec } = commandOf(contract, 'test.v1.S/Whole');
  const types = fc.constantFrom('application/json', 'application/protobuf', null, 'x');
  fc.assert(
    fc.property(bodies, types, (bytes, contentType) => {
      try {
        const message = codec.replyFromWire(bytes, contentType);
        codec.replyToBinary(message);
        codec.replyToJson(message);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        expect(error).toMatchObject({ code: 'REPLY_INVALID', delivery: 'unknown' });
      }
    }),
    { numRuns: 3000 },
  );
});
