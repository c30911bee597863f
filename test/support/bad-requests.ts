// Generators of requests that no gateway may take, each with where the problem must point. Bad by construction: whatever
// is drawn, no reading of the contract makes it good. Over 300 lines, for it is one list of faults.
import fc from 'fast-check';

/** Exactly what `errors[]` must name; none where there is nothing to name. */
export interface Place {
  readonly kind: 'pointer' | 'parameter' | 'header';
  /** Of a pointer the beginning; null: one there is, whatever its name. */
  readonly name: string | null;
}

export interface BadRequest {
  readonly what: string;
  readonly method: string;
  /** As it goes over the wire. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
  readonly place: Place | null;
  /** Statuses that are right; by default 400. */
  readonly statuses: readonly number[];
}

/** More than that is 413. */
export const MAX_BODY_BYTES = 64 * 1024;
export const MAX_JSON_DEPTH = 64;

const JSON_HEADERS = { 'content-type': 'application/json' };

function bad(what: string, parts: Partial<BadRequest> = {}): BadRequest {
  return {
    what,
    method: 'POST',
    target: '/v1/do',
    headers: JSON_HEADERS,
    body: null,
    place: null,
    statuses: [400],
    ...parts,
  };
}

function badBody(what: string, body: string | Buffer, pointer: string): BadRequest {
  return bad(what, { body: Buffer.from(body as string), place: { kind: 'pointer', name: pointer } });
}

function badQuery(target: string, parameter: string): BadRequest {
  return bad('query', { method: 'GET', target, headers: {}, place: { kind: 'parameter', name: parameter } });
}

// ---- bodies ----------------------------------------------------------------------------------------------------------

const goodField = fc.constantFrom(
  '"text":"a"',
  '"small":1',
  '"large":"2"',
  '"kind":"RYE"',
  '"counts":{"a":1}',
  '"items":[{"sku":"x"}]',
  '"at":"2026-01-01T00:00:00Z"',
);

/** JSON text that stands where a field's value should. */
const WRONG_VALUES: Readonly<Record<string, readonly string[]>> = {
  key: ['1', 'true', '[]', '{}', '["a"]'],
  text: ['1', 'false', '[]', '{"a":"b"}'],
  small: ['"abc"', '""', '1.5', 'true', '[]', '{}', '2147483648', '-2147483649', '"2147483648"', '1e30', '"0x10"'],
  large: ['"9223372036854775808"', '"-9223372036854775809"', '1.5', '"1.5"', 'true', '[1]', '9007199254740993'],
  positive: ['-1', '4294967296', '"-1"', 'true', '"x"'],
  kind: ['"BARLEY"', '""', 'true', '[]', '1.5', '"rye"', '2147483648'],
  at: [
    '"yesterday"',
    '"2026-02-30T00:00:00Z"',
    '"2026-13-01T00:00:00Z"',
    '"2026-01-01"',
    '5',
    '""',
    '"2026-01-01T25:00:00Z"',
  ],
  length: ['"3"', '"3sx"', '5', '"s"', '""', '{}', '"315576000001s"'],
  counts: ['{"a":"x"}', '[]', '5', '{"a":2147483648}', '{"a":{}}', '"a"'],
  inner: ['5', '[]', '"a"', 'true'],
  items: ['{}', '5', '[5]', '[[]]', '[{"sku":5}]', '[{"quantity":"x"}]', '[{"quantity":-1}]', '[{"none":1}]', '[null]'],
  blob: ['"***"', '5', '"a b"', '{}'],
  flag: ['"yes"', '1', '"true"', '[]'],
  ratio: ['"abc"', 'true', '[]', '""', '{}'],
  mask: ['5', '{}', '[]'],
  wrapped: ['"x"', '2147483648', 'true', '{}'],
  free: ['5', '[]', '"a"'],
  short: ['"too long a text"', '5'],
};

const wrongField = fc
  .constantFrom(
    ...Object.entries(WRONG_VALUES).flatMap(([name, values]) => values.map((value) => [name, value] as const)),
  )
  .map(([name, value]) => ({ member: `"${name}":${value}`, name }));

/** Names that are also what JavaScript's objects are made of. */
const POLLUTING = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  '__defineGetter__',
  'valueOf',
];
const unknownName = fc.oneof(
  fc.constantFrom(...POLLUTING),
  fc.stringMatching(/^[a-z]{1,12}$/).map((name) => `no_${name}`),
  fc
    .string({ minLength: 1, maxLength: 8, unit: 'grapheme' })
    .map((name) => `?${name.replaceAll(/[\0/~]/g, '').toWellFormed()}`),
);
const unknownField = fc
  .tuple(unknownName, fc.constantFrom('1', '{"polluted":true}', '"x"', '[]', 'null', '{"prototype":{"polluted":true}}'))
  .map(([name, value]) => ({ member: `${JSON.stringify(name)}:${value}`, name }));

const BAD_TEXTS = ['"\\ud800"', '"a\\udc00b"', '"\\u0000"', '"a\\u0000"', '"\\ud800\\ud800"'];
const badText = fc.constantFrom(...BAD_TEXTS).map((text) => ({ member: `"text":${text}`, name: 'text' }));

/** The faulty member among good ones, down in nested messages. */
const faultyBody = fc
  .tuple(
    fc.oneof(
      { weight: 5, arbitrary: wrongField },
      { weight: 3, arbitrary: unknownField },
      { weight: 1, arbitrary: badText },
    ),
    fc.uniqueArray(goodField, { maxLength: 3 }),
    fc.integer({ min: 0, max: 6 }),
    fc.boolean(),
  )
  .map(([{ member, name }, beside, depth, first]) => {
    const name_ = member.slice(0, member.indexOf(':'));
    const others = beside.filter((good) => !good.startsWith(`${name_}:`));
    const members = first ? [member, ...others] : [...others, member];
    const text = `${'{"inner":'.repeat(depth)}{${members.join(',')}}${'}'.repeat(depth)}`;
    const isNamed = /^[A-Za-z_]+$/.test(name);
    return badBody('field', text, `#${'/inner'.repeat(depth)}${isNamed ? `/${name}` : ''}`);
  });

const twoOfOneof = fc.tuple(fc.string({ maxLength: 5 }), fc.boolean()).map(([text, swapped]) => {
  const members = [`"left":${JSON.stringify(text.replaceAll('\0', ''))}`, '"right":"b"'];
  return badBody('two oneof members', `{${(swapped ? members.reverse() : members).join(',')}}`, '#');
});

const brokenJson = fc
  .tuple(
    fc.uniqueArray(goodField, { minLength: 1, maxLength: 4 }),
    fc.nat(),
    fc.constantFrom('cut', 'more', 'quotes', 'comma'),
  )
  .map(([members, seed, how]) => {
    const text = `{${members.join(',')}}`;
    // One character at least, or the body is absent, which is a request without fields.
    if (how === 'cut') return badBody('cut JSON', text.slice(0, 1 + (seed % (text.length - 1))), '#');
    if (how === 'more') return badBody('JSON with more behind', `${text}${['}', 'x', '{}', ','][seed % 4]}`, '#');
    if (how === 'quotes') return badBody('single quotes', text.replaceAll('"', "'"), '#');
    return badBody('a comma too many', `${text.slice(0, -1)},}`, '#');
  });

const notAnObject = fc
  .constantFrom('[]', '5', '"x"', 'true', '[{}]', '""', 'NaN', 'undefined', '\ufeff\ufeff{}')
  .map((text) => badBody('no object', text, '#'));

const invalidUtf8 = fc
  .tuple(
    fc.constantFrom([0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0x80]),
    fc.nat({ max: 8 }),
  )
  .map(([bytes, at]) => {
    const text = Buffer.from('{"text":"abcdefghij"}');
    return badBody(
      'invalid UTF-8',
      Buffer.concat([text.subarray(0, 9 + at), Buffer.from(bytes), text.subarray(9 + at)]),
      '#',
    );
  });

const tooDeep = fc
  .tuple(fc.integer({ min: MAX_JSON_DEPTH + 2, max: 2_000 }), fc.constantFrom('message', 'struct', 'array', 'brackets'))
  .map(([depth, how]) => {
    const nest = (open: string, close: string) => `${open.repeat(depth)}${close.repeat(depth)}`;
    if (how === 'message') return badBody('deep messages', `${'{"inner":'.repeat(depth)}{}${'}'.repeat(depth)}`, '#');
    if (how === 'struct') return badBody('deep struct', `{"free":${'{"a":'.repeat(depth)}{}${'}'.repeat(depth)}}`, '#');
    if (how === 'array') return badBody('deep list', `{"free":{"a":${nest('[', ']')}}}`, '#');
    return badBody('brackets', nest('[', ']'), '#');
  });

const tooLarge = fc.integer({ min: MAX_BODY_BYTES, max: MAX_BODY_BYTES * 2 }).map((size) =>
  bad('too large', {
    body: Buffer.from(`{"text":"${'x'.repeat(size)}"}`),
    statuses: [413],
    place: { kind: 'pointer', name: '#' },
  }),
);

// ---- headers ---------------------------------------------------------------------------------------------------------

const wrongMediaType = fc
  .constantFrom(
    'text/plain',
    'application/xml',
    'multipart/form-data; boundary=x',
    'application/json; charset=latin1',
    'json',
    '*/*',
  )
  .map((type) =>
    bad('media type', {
      headers: { 'content-type': type },
      body: Buffer.from('{}'),
      statuses: [415],
      place: { kind: 'header', name: 'content-type' },
    }),
  );
const badHeader = fc
  .constantFrom<[string, string, number]>(
    ['content-encoding', 'gzip', 415],
    ['content-encoding', 'br', 415],
    ['accept', 'text/html', 406],
    ['accept', 'image/png, application/json;q=0', 406],
    ['sluice-hops', 'many', 400],
    ['sluice-hops', '-1', 400],
    ['sluice-hops', '1e3', 400],
    ['idempotency-key', '"k', 400],
    ['idempotency-key', '""', 400],
    ['callback-url', 'https://caller.example/back', 400],
  )
  .map(([name, value, status]) =>
    bad('header', {
      headers: { ...JSON_HEADERS, [name]: value },
      body: Buffer.from('{}'),
      statuses: [status],
      place: { kind: 'header', name },
    }),
  );
const tooManyHeaders = fc.integer({ min: 101, max: 300 }).map((count) =>
  bad('too many headers', {
    headers: {
      ...JSON_HEADERS,
      ...Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, '1'])),
    },
    body: Buffer.from('{}'),
    statuses: [431],
  }),
);
const longHeader = fc.integer({ min: 16 * 1024, max: 60 * 1024 }).map((size) =>
  bad('long header', {
    headers: { ...JSON_HEADERS, 'x-long': 'x'.repeat(size) },
    body: Buffer.from('{}'),
    statuses: [431],
  }),
);

// ---- targets ---------------------------------------------------------------------------------------------------------

const badPath = fc
  .constantFrom(
    '/v1/things/%',
    '/v1/things/%zz',
    '/v1/things/%ff',
    '/v1/things/a%c0%af',
    '/v1/things/%ed%a0%80',
    '/v1/things/%00',
  )
  .map((target) => bad('path', { method: 'GET', target, headers: {}, place: { kind: 'parameter', name: null } }));
const noRoute = fc
  .tuple(
    fc.stringMatching(/^[a-z0-9._~!$&'()*+,;=:@-]{1,20}$/),
    fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH'),
  )
  .map(([path, method]) => bad('no route', { method, target: `/none/${path}`, headers: {}, statuses: [404] }));
const wrongMethod = fc
  .constantFrom<[string, string]>(
    ['GET', '/v1/do'],
    ['DELETE', '/v1/do'],
    ['POST', '/v1/things/a'],
    ['PATCH', '/operations'],
  )
  .map(([method, target]) => bad('method', { method, target, headers: {}, statuses: [405] }));
const longTarget = fc
  .integer({ min: 8 * 1024, max: 12 * 1024 })
  .map((size) =>
    bad('long target', { method: 'GET', target: `/v1/things/${'a'.repeat(size)}`, headers: {}, statuses: [414] }),
  );

const badParameter = fc
  .constantFrom<[string, string]>(
    ['depth=abc', 'depth'],
    ['depth=2147483648', 'depth'],
    ['depth=1.5', 'depth'],
    ['depth=', 'depth'],
    ['depth=1&depth=2', 'depth'],
    ['kind=BARLEY', 'kind'],
    ['filter=x', 'filter'],
    ['filter.limit=x', 'filter.limit'],
    ['filter.all=maybe', 'filter.all'],
    ['filter.none=1', 'filter.none'],
    ['filter.owner.more=1', 'filter.owner.more'],
    ['filter.owner=%ff', 'filter.owner'],
    ['filter.owner=%', 'filter.owner'],
    ['filter.owner=a%00b', 'filter.owner'],
    ['tags.x=1', 'tags.x'],
    ['none=1', 'none'],
    ['__proto__=1', '__proto__'],
    ['__proto__.polluted=1', '__proto__.polluted'],
    ['constructor.prototype.polluted=1', 'constructor.prototype.polluted'],
    ['toString=1', 'toString'],
  )
  .chain(([query, parameter]) =>
    fc.constantFrom('', 'tags=x&', 'filter.limit=3&').map((before) => {
      const isTwice = before !== '' && query.startsWith(before.split('=')[0]!);
      return badQuery(`/v1/things/a?${isTwice ? '' : before}${query}`, parameter);
    }),
  );

const badList = fc.oneof(
  fc
    .base64String({ minLength: 1, maxLength: 40 })
    .map((token) => badQuery(`/operations?page_token=${encodeURIComponent(`x${token}`)}`, 'page_token')),
  fc
    .json({ maxDepth: 2 })
    .map((json) =>
      badQuery(`/operations?page_token=${Buffer.from(json || '0').toString('base64url') || 'x'}`, 'page_token'),
    ),
  fc
    .constantFrom('-1', 'many', '1.5', '9999999999', '%F0')
    .map((size) => badQuery(`/operations?page_size=${size}`, 'page_size')),
  fc
    .constantFrom('done', 'SUCCEEDED', '__proto__', '%00')
    .map((state) => badQuery(`/operations?state=${state}`, 'state')),
  fc.constantFrom('color', '__proto__', 'pageToken').map((name) => badQuery(`/operations?${name}=1`, name)),
);
const badId = fc
  .tuple(fc.stringMatching(/^[A-Za-z0-9._~!$&'()*+,;=:@%-]{1,40}$/), fc.constantFrom('', '/result'))
  .map(([id, behind]) =>
    bad('operation id', {
      method: 'GET',
      target: `/operations/${id}${behind}`,
      headers: {},
      statuses: [400, 404, 410],
    }),
  );

const weighted: readonly (readonly [number, fc.Arbitrary<BadRequest>])[] = [
  [40, faultyBody],
  [4, twoOfOneof],
  [8, brokenJson],
  [3, notAnObject],
  [4, invalidUtf8],
  [3, tooDeep],
  [1, tooLarge],
  [3, wrongMediaType],
  [5, badHeader],
  [1, tooManyHeaders],
  [1, longHeader],
  [3, badPath],
  [2, noRoute],
  [2, wrongMethod],
  [1, longTarget],
  [10, badParameter],
  [6, badList],
  [3, badId],
];

/** Never an error by itself, and never a help. */
const anyPrefer = fc.oneof(
  fc.constantFrom(
    'wait=-1',
    'wait=abc',
    'wait=1e9',
    'respond-async=maybe',
    ',,,',
    '"',
    'wait="',
    'wait=99999999999999999999',
    '=;=',
  ),
  fc.stringMatching(/^[!-~][ -~]{0,30}$/),
);

export const badRequest: fc.Arbitrary<BadRequest> = fc
  .tuple(fc.oneof(...weighted.map(([weight, arbitrary]) => ({ weight, arbitrary }))), fc.option(anyPrefer, { freq: 2 }))
  .map(([request, prefer]) =>
    prefer === null ? request : { ...request, headers: { ...request.headers, prefer: prefer.trim() } },
  );
