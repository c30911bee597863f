/** A test for each rule that google/api/http.proto states, in its order; quotes are from its comments. */

import { describe, expect, test } from 'vitest';
import { parsePathTemplate, TemplateError } from '../../src/contract/http-template.ts';
import { call, commandOf, failureOf, loadProto, problemsOf, violationsOf } from './contract-support.ts';

const contract = await loadProto(`
service Messaging {
  rpc GetMessage(GetMessageRequest) returns (Message) { option (google.api.http) = { get: "/v1/{name=messages/*}" }; }
  rpc QueryMessage(QueryRequest) returns (Message) { option (google.api.http) = { get: "/v2/messages/{message_id}" }; }
  rpc UpdateMessage(UpdateRequest) returns (Message) {
    option (google.api.http) = { patch: "/v1/messages/{message_id}" body: "message" };
  }
  rpc ReplaceMessage(Message) returns (Message) { option (google.api.http) = { put: "/v1/messages/{message_id}" body: "*" }; }
  rpc FindMessage(FindRequest) returns (Message) {
    option (google.api.http) = {
      get: "/v3/messages/{message_id}"
      additional_bindings { get: "/v3/users/{user_id}/messages/{message_id}" }
      additional_bindings { post: "/v3/messages:find" body: "*" }
    };
  }
  rpc NestedPath(UpdateRequest) returns (Message) {
    option (google.api.http) = { post: "/v1/nested/{message.sub.subfield}" body: "message" };
  }
  rpc Files(FileRequest) returns (Message) { option (google.api.http) = { get: "/v1/files/{path=**}" }; }
  rpc ArchiveFiles(FileRequest) returns (Message) { option (google.api.http) = { post: "/v1/files/{path=**}:archive" }; }
  rpc Book(FileRequest) returns (Message) { option (google.api.http) = { get: "/v1/{path=shelves/*/books/*}" }; }
  rpc Star(google.protobuf.Empty) returns (Message) { option (google.api.http) = { get: "/v1/star/*/end" }; }
  rpc StarStar(google.protobuf.Empty) returns (Message) { option (google.api.http) = { get: "/v1/rest/**" }; }
  rpc Reserved(google.protobuf.Empty) returns (Message) { option (google.api.http) = { get: "/v1/a%20b/c" }; }
  rpc Cancel(FileRequest) returns (Message) { option (google.api.http) = { post: "/v1/jobs/{path}:cancel" body: "*" }; }
  rpc GetJob(FileRequest) returns (Message) { option (google.api.http) = { get: "/v1/jobs/{path}" }; }
  rpc Literal(google.protobuf.Empty) returns (Message) { option (google.api.http) = { get: "/v1/jobs/latest" }; }
  rpc Typed(TypedRequest) returns (Message) { option (google.api.http) = { get: "/v1/typed/{number}/{flag}/{color}" }; }
  rpc Head(FileRequest) returns (Message) { option (google.api.http) = { custom: { kind: "HEAD" path: "/v1/heads/{path}" } }; }
  rpc Any(FileRequest) returns (Message) { option (google.api.http) = { custom: { kind: "*" path: "/v1/any/{path}" } }; }
  rpc PutAny(FileRequest) returns (Message) { option (google.api.http) = { put: "/v1/any/{path}" }; }
  rpc Remove(FileRequest) returns (Message) { option (google.api.http) = { delete: "/v1/jobs/{path}" }; }
  rpc ListBody(ListRequest) returns (ListReply) {
    option (google.api.http) = { post: "/v1/lists/{id}" body: "items" response_body: "items" };
  }
  rpc MapReply(ListRequest) returns (ListReply) { option (google.api.http) = { get: "/v1/maps" response_body: "labels" }; }
  rpc MessageReply(ListRequest) returns (ListReply) { option (google.api.http) = { get: "/v1/single" response_body: "message" }; }
  rpc Bare(FileRequest) returns (Message);
}
message GetMessageRequest { string name = 1; }
message QueryRequest {
  string message_id = 1;
  int64 revision = 2;
  SubMessage sub = 3;
  repeated string tags = 4;
  repeated int32 numbers = 5;
  google.protobuf.Timestamp since = 6;
  google.protobuf.Duration patience = 7;
  google.protobuf.FieldMask mask = 8;
  google.protobuf.Int64Value wrapped = 9;
  google.protobuf.BoolValue wrapped_flag = 10;
  Color color = 11;
  bytes raw = 12;
  double ratio = 13;
  repeated SubMessage subs = 14;
  map<string, string> labels = 15;
  google.protobuf.Struct free = 16;
  oneof choice { string left = 17; string right = 18; }
  repeated Color colors = 19;
  bool flag = 20;
}
message SubMessage { string subfield = 1; SubMessage deeper = 2; }
message Message { string message_id = 1; string text = 2; SubMessage sub = 3; int32 size = 4; }
message UpdateRequest { string message_id = 1; Message message = 2; bool quiet = 3; }
message FindRequest { string message_id = 1; string user_id = 2; }
message FileRequest { string path = 1; string note = 2; }
message TypedRequest { int32 number = 1; bool flag = 2; Color color = 3; }
message ListRequest { string id = 1; repeated Message items = 2; }
message ListReply { repeated Message items = 1; map<string, string> labels = 2; Message message = 3; string other = 4; }
enum Color { COLOR_UNSPECIFIED = 0; RED = 1; }
`);

const query = (text: string) => call(contract, 'GET', `/v2/messages/m1?${text}`);
const refusedQuery = (text: string) => violationsOf(() => query(text));

describe('the mapping of fields', () => {
  test('the path template maps fields of the request to the path', () => {
    expect(call(contract, 'GET', '/v1/messages/123456')).toEqual({ GetMessage: { name: 'messages/123456' } });
  });

  test('fields that the path does not bind become query parameters if there is no body', () => {
    expect(query('revision=2&sub.subfield=foo')).toEqual({
      QueryMessage: { messageId: 'm1', revision: '2', sub: { subfield: 'foo' } },
    });
  });

  test('a repeated field is a repeated parameter', () => {
    expect(query('tags=A&numbers=1&tags=B&numbers=-2&colors=RED&colors=0')).toEqual({
      QueryMessage: { messageId: 'm1', tags: ['A', 'B'], numbers: [1, -2], colors: ['RED', 'COLOR_UNSPECIFIED'] },
    });
  });

  test('each field of a message is a parameter of its own, at any depth', () => {
    expect(query('sub.subfield=a&sub.deeper.deeper.subfield=b')).toEqual({
      QueryMessage: { messageId: 'm1', sub: { subfield: 'a', deeper: { deeper: { subfield: 'b' } } } },
    });
  });

  test('parameters have proto names or JSON names', () => {
    expect(query('wrapped_flag=true')).toEqual(query('wrappedFlag=true'));
  });

  test('types with a text form are parameters: Timestamp, Duration, FieldMask, wrappers, enums, bytes, doubles', () => {
    const text =
      'since=2026-01-31T12:00:00Z&patience=1.5s&mask=a,b.c&wrapped=7&wrappedFlag=false&color=RED&raw=_-8%3D&ratio=NaN';
    expect(query(text)).toEqual({
      QueryMessage: {
        messageId: 'm1',
        since: '2026-01-31T12:00:00Z',
        patience: '1.500s',
        mask: 'a,b.c',
        wrapped: '7',
        wrappedFlag: false,
        color: 'RED',
        raw: '/+8=',
        ratio: 'NaN',
      },
    });
    expect(query('color=1')).toEqual({ QueryMessage: { messageId: 'm1', color: 'RED' } });
  });

  test('a parameter is percent-decoded, and + is a space', () => {
    expect(query('tags=a+b%2B%26%C3%A9&left=')).toEqual({
      QueryMessage: { messageId: 'm1', tags: ['a b+&é'], left: '' },
    });
  });

  test.each([
    ['an unknown parameter', 'nothing=1', 'nothing'],
    ['an unknown nested parameter', 'sub.nothing=1', 'sub.nothing'],
    ['a parameter below a scalar', 'revision.x=1', 'revision.x'],
    ['a message as a whole', 'sub=x', 'sub'],
    ['"Repeated message fields must not be mapped to URL query parameters"', 'subs=x', 'subs'],
    ['a field of a repeated message', 'subs.subfield=x', 'subs.subfield'],
    ['a map', 'labels=x', 'labels'],
    ['a Struct', 'free=x', 'free'],
    ['a singular parameter given twice', 'revision=1&revision=2', 'revision'],
    ['a parameter that the path binds', 'message_id=x', 'message_id'],
    ['a text for a number', 'revision=two', 'revision'],
    ['no text for a number', 'revision=', 'revision'],
    ['a hexadecimal number', 'revision=0x10', 'revision'],
    ['a number out of range', 'numbers=2147483648', 'numbers'],
    ['a bool that is neither', 'flag=1', 'flag'],
    ['an unknown enum name', 'color=BLUE', 'color'],
    ['a bad Timestamp', 'since=yesterday', 'since'],
    ['a bad Duration', 'patience=3', 'patience'],
    ['blanks in base64', 'raw=a+b', 'raw'],
    ['the character NUL', 'tags=a%00b', 'tags'],
  ])('%s is refused by name', (_, text, parameter) => {
    const violations = refusedQuery(text);
    expect(violations).toHaveLength(1);
    expect(violations[0]?.parameter).toBe(parameter);
  });

  test('two members of a oneof are refused by name', () => {
    expect(refusedQuery('left=a&right=b')).toMatchObject([{ parameter: 'right' }]);
  });

  test('all wrong parameters are named at once', () => {
    expect(refusedQuery('nothing=1&revision=x').map((each) => each.parameter)).toEqual(['nothing', 'revision']);
  });

  test('a query that is not percent-encoded UTF-8 is malformed', () => {
    const failure = failureOf(() => query('tags=%FF'));
    expect(failure.code).toBe('REQUEST_MALFORMED');
    expect(failure.violations).toMatchObject([{ parameter: 'tags' }]);
  });
});

describe('the body', () => {
  test('a named body is that field, the path binds another', () => {
    expect(call(contract, 'PATCH', '/v1/messages/123456', { text: 'Hi!' })).toEqual({
      UpdateMessage: { messageId: '123456', message: { text: 'Hi!' } },
    });
  });

  test('with a named body, all other fields are query parameters', () => {
    expect(call(contract, 'PATCH', '/v1/messages/1?quiet=true', { text: 'Hi!' })).toEqual({
      UpdateMessage: { messageId: '1', message: { text: 'Hi!' }, quiet: true },
    });
  });

  test('with a named body, its fields are no query parameters', () => {
    expect(violationsOf(() => call(contract, 'PATCH', '/v1/messages/1?message.text=x', {}))).toMatchObject([
      { parameter: 'message.text' },
    ]);
  });

  test('body "*" is every field that the path does not bind', () => {
    expect(call(contract, 'PUT', '/v1/messages/123456', { text: 'Hi!' })).toEqual({
      ReplaceMessage: { messageId: '123456', text: 'Hi!' },
    });
  });

  test('what the path binds wins over the body, under either name', () => {
    const expected = { ReplaceMessage: { messageId: '1', text: 'a' } };
    expect(call(contract, 'PUT', '/v1/messages/1', { messageId: '2', text: 'a' })).toEqual(expected);
    expect(call(contract, 'PUT', '/v1/messages/1', { message_id: '2', text: 'a' })).toEqual(expected);
  });

  test('"If body is *, there is no URL query parameter"', () => {
    expect(violationsOf(() => call(contract, 'PUT', '/v1/messages/1?text=x', {}))).toMatchObject([
      { parameter: 'text' },
    ]);
  });

  test('"If body is omitted, there is no HTTP request body"', () => {
    expect(violationsOf(() => call(contract, 'GET', '/v1/messages/1', { name: 'x' }))).toMatchObject([
      { pointer: '#' },
    ]);
  });

  test('a body may be left out', () => {
    expect(call(contract, 'PUT', '/v1/messages/1')).toEqual({ ReplaceMessage: { messageId: '1' } });
    expect(call(contract, 'PATCH', '/v1/messages/1')).toEqual({ UpdateMessage: { messageId: '1' } });
  });

  test('faults are pointed to within the body as it was sent', () => {
    expect(violationsOf(() => call(contract, 'PATCH', '/v1/messages/1', { size: 'x' }))).toMatchObject([
      { pointer: '#/size' },
    ]);
    expect(violationsOf(() => call(contract, 'PUT', '/v1/messages/1', { size: 'x' }))).toMatchObject([
      { pointer: '#/size' },
    ]);
    expect(violationsOf(() => call(contract, 'PATCH', '/v1/messages/1', []))).toMatchObject([{ pointer: '#' }]);
    expect(violationsOf(() => call(contract, 'PUT', '/v1/messages/1', []))).toMatchObject([{ pointer: '#' }]);
  });

  test('a repeated field may be the request body and the response body', () => {
    expect(call(contract, 'POST', '/v1/lists/l1', [{ text: 'a' }, { text: 'b' }])).toEqual({
      ListBody: { id: 'l1', items: [{ text: 'a' }, { text: 'b' }] },
    });
    expect(violationsOf(() => call(contract, 'POST', '/v1/lists/l1', [{}, { size: 'x' }]))).toMatchObject([
      { pointer: '#/1/size' },
    ]);
  });

  test('a path variable may lie within the named body', () => {
    expect(call(contract, 'POST', '/v1/nested/x', { text: 'a', sub: { deeper: {} } })).toEqual({
      NestedPath: { message: { text: 'a', sub: { subfield: 'x', deeper: {} } } },
    });
    expect(call(contract, 'POST', '/v1/nested/x')).toEqual({ NestedPath: { message: { sub: { subfield: 'x' } } } });
    expect(violationsOf(() => call(contract, 'POST', '/v1/nested/x', { sub: 1 }))).toMatchObject([
      { pointer: '#/sub' },
    ]);
  });

  test('the body that was given is not changed', () => {
    const body = Object.freeze({ text: 'a', sub: Object.freeze({ subfield: 'mine' }) });
    call(contract, 'POST', '/v1/nested/x', body);
    expect(body.sub.subfield).toBe('mine');
  });
});

describe('additional_bindings', () => {
  test('each is a way to the method, with the fields that it binds', () => {
    expect(call(contract, 'GET', '/v3/messages/1')).toEqual({ FindMessage: { messageId: '1' } });
    expect(call(contract, 'GET', '/v3/users/me/messages/1')).toEqual({ FindMessage: { messageId: '1', userId: 'me' } });
    expect(call(contract, 'POST', '/v3/messages:find', { userId: 'me' })).toEqual({ FindMessage: { userId: 'me' } });
  });

  test('"the nesting may only be one level deep"', async () => {
    const problems = await problemsOf(
      loadProto(`service S { rpc A(google.protobuf.Empty) returns (google.protobuf.Empty) {
        option (google.api.http) = { get: "/a" additional_bindings { get: "/b" additional_bindings { get: "/c" } } };
      } }`),
    );
    expect(problems).toMatchObject([{ method: 'test.v1.S/A', message: expect.stringContaining('one level') }]);
  });
});

describe('path templates', () => {
  test('* matches one segment, never none', () => {
    expect(call(contract, 'GET', '/v1/star/x/end')).toEqual({ Star: {} });
    expect(call(contract, 'GET', '/v1/star//end')).toEqual({ kind: 'not_found' });
    expect(call(contract, 'GET', '/v1/star/x/y/end')).toEqual({ kind: 'not_found' });
  });

  test('** matches zero or more segments', () => {
    expect(call(contract, 'GET', '/v1/rest')).toEqual({ StarStar: {} });
    expect(call(contract, 'GET', '/v1/rest/a')).toEqual({ StarStar: {} });
    expect(call(contract, 'GET', '/v1/rest/a/b/c')).toEqual({ StarStar: {} });
  });

  test('a variable of ** captures no leading slash, and nothing where there is nothing', () => {
    expect(call(contract, 'GET', '/v1/files/a/b')).toEqual({ Files: { path: 'a/b' } });
    expect(call(contract, 'GET', '/v1/files')).toEqual({ Files: {} });
  });

  test('{var=segments} captures as many segments as it names', () => {
    expect(call(contract, 'GET', '/v1/shelves/s1/books/b1')).toEqual({ Book: { path: 'shelves/s1/books/b1' } });
    expect(call(contract, 'GET', '/v1/shelves/s1/books')).toEqual({ kind: 'not_found' });
  });

  test('a verb follows the last segment', () => {
    expect(call(contract, 'POST', '/v1/jobs/j1:cancel', {})).toEqual({ Cancel: { path: 'j1' } });
    expect(call(contract, 'POST', '/v1/files/a/b:archive')).toEqual({ ArchiveFiles: { path: 'a/b' } });
  });

  test('a colon that begins no verb of a template is part of the value, and so is an encoded one', () => {
    expect(call(contract, 'GET', '/v1/jobs/j1:other')).toEqual({ GetJob: { path: 'j1:other' } });
    expect(call(contract, 'GET', '/v1/jobs/j1%3Acancel')).toEqual({ GetJob: { path: 'j1:cancel' } });
    expect(call(contract, 'POST', '/v1/jobs/a:b:cancel', {})).toEqual({ Cancel: { path: 'a:b' } });
  });

  test('a variable of one segment is decoded in full', () => {
    expect(call(contract, 'GET', '/v1/jobs/a%2Fb%20%C3%A9+c')).toEqual({ GetJob: { path: 'a/b é+c' } });
  });

  test('"%2F" and "%2f" are left unchanged in a variable of more segments', () => {
    expect(call(contract, 'GET', '/v1/files/a%2Fb/c%2fd%20e')).toEqual({ Files: { path: 'a%2Fb/c%2fd e' } });
    expect(call(contract, 'GET', '/v1/messages/a%2Fb')).toEqual({ GetMessage: { name: 'messages/a%2Fb' } });
  });

  test('literals with reserved characters match, however they are encoded', () => {
    expect(call(contract, 'GET', '/v1/a%20b/c')).toEqual({ Reserved: {} });
    expect(call(contract, 'GET', '/v1/%61%20b/c')).toEqual({ Reserved: {} });
    expect(call(contract, 'GET', '/v1/a+b/c')).toEqual({ kind: 'not_found' });
  });

  test('path variables are of any scalar type', () => {
    expect(call(contract, 'GET', '/v1/typed/-5/true/RED')).toEqual({ Typed: { number: -5, flag: true, color: 'RED' } });
    expect(violationsOf(() => call(contract, 'GET', '/v1/typed/5.5/yes/RED'))).toMatchObject([
      { parameter: 'number' },
      { parameter: 'flag' },
    ]);
    expect(violationsOf(() => call(contract, 'GET', '/v1/typed/1/true/BLUE'))).toMatchObject([{ parameter: 'color' }]);
  });

  test('the more literal template wins', () => {
    expect(call(contract, 'GET', '/v1/jobs/latest')).toEqual({ Literal: {} });
  });

  test('a more general template serves what the more literal one has no method for', () => {
    expect(call(contract, 'DELETE', '/v1/jobs/latest')).toEqual({ Remove: { path: 'latest' } });
  });

  test('custom kinds are HTTP methods, and * is any other', () => {
    expect(call(contract, 'HEAD', '/v1/heads/x')).toEqual({ Head: { path: 'x' } });
    expect(call(contract, 'PROPFIND', '/v1/any/x')).toEqual({ Any: { path: 'x' } });
    expect(call(contract, 'PUT', '/v1/any/x')).toEqual({ PutAny: { path: 'x' } });
  });

  test('a path with other methods tells them', () => {
    expect(call(contract, 'PUT', '/v1/jobs/j1')).toEqual({ kind: 'method_not_allowed', allow: ['DELETE', 'GET'] });
    expect(call(contract, 'GET', '/v1/nothing')).toEqual({ kind: 'not_found' });
    expect(call(contract, 'GET', '/v1/jobs/')).toEqual({ kind: 'not_found' });
  });

  test('a path that is not percent-encoded UTF-8 is malformed', () => {
    for (const segment of ['%FF', '%zz']) {
      const { code, violations } = failureOf(() => call(contract, 'GET', `/v1/jobs/${segment}`));
      expect(code).toBe('REQUEST_MALFORMED');
      expect(violations).toEqual([{ parameter: 'path', detail: expect.stringContaining(segment) }]);
    }
  });

  test('NUL in a path variable is refused by name', () => {
    expect(violationsOf(() => call(contract, 'GET', '/v1/jobs/a%00'))).toMatchObject([{ parameter: 'path' }]);
  });

  test.each([
    ['v1/x', 'a leading slash'],
    ['/', 'a segment'],
    ['/a//b', 'no empty segment'],
    ['/a/', 'no trailing slash'],
    ['/{a', 'a closing brace'],
    ['/{a=b/{c}}', 'no variable in a variable'],
    ['/{}', 'a field path'],
    ['/{a.}', 'a whole field path'],
    ['/**/a', '** at the end only'],
    ['/{a=**}/b', '** at the end only'],
    ['/a:', 'a verb'],
    ['/a:b/c', 'the verb last'],
    ['/{a}/{a}', 'each field once'],
    ['/a b', 'reserved characters encoded'],
    ['/%FF', 'UTF-8'],
  ])('the grammar refuses %s: it wants %s', (text) => {
    expect(() => parsePathTemplate(text)).toThrow(TemplateError);
  });
});

describe('response_body', () => {
  const render = (method: string, reply: unknown) => {
    const command = commandOf(contract, `test.v1.Messaging/${method}`);
    const message = command.codec.replyFromWire(Buffer.from(JSON.stringify(reply)), 'application/json');
    return JSON.parse(command.codec.replyToJson(message, command.bindings[0]));
  };

  test('the named field of the reply is the response body', () => {
    expect(render('ListBody', { items: [{ text: 'a' }], other: 'x' })).toEqual([{ text: 'a' }]);
    expect(render('MapReply', { labels: { a: 'b' }, other: 'x' })).toEqual({ a: 'b' });
    expect(render('MessageReply', { message: { text: 'a' }, other: 'x' })).toEqual({ text: 'a' });
  });

  test('a field that is not set is its default', () => {
    expect(render('ListBody', { other: 'x' })).toEqual([]);
    expect(render('MapReply', {})).toEqual({});
    expect(render('MessageReply', {})).toBe(null);
  });

  test('without it, the whole reply is', () => {
    expect(render('GetMessage', { text: 'a' })).toEqual({ text: 'a' });
  });
});

describe('methods without a rule', () => {
  test('are not served over HTTP', () => {
    expect(contract.routes.match('POST', '/test.v1.Messaging/Bare').kind).toBe('not_found');
    expect(commandOf(contract, 'test.v1.Messaging/Bare').bindings).toEqual([]);
  });

  test('are served by their gRPC path where the config says so, and others are not', async () => {
    const unbound = await loadProto(
      `service S {
         rpc Bare(M) returns (M);
         rpc Bound(M) returns (M) { option (google.api.http) = { get: "/bound" }; }
       }
       message M { string a = 1; }`,
      { unboundMethods: true },
    );
    expect(call(unbound, 'POST', '/test.v1.S/Bare', { a: 'x' })).toEqual({ Bare: { a: 'x' } });
    expect(call(unbound, 'POST', '/test.v1.S/Bound', { a: 'x' })).toEqual({ kind: 'not_found' });
  });
});

describe('rules that do not fit their messages are problems with file, line and method', () => {
  const load = (rule: string) =>
    problemsOf(
      loadProto(`service S {
  rpc A(M) returns (M) { option (google.api.http) = { ${rule} }; }
}
message M { string a = 1; repeated string many = 2; M child = 3; map<string, string> labels = 4; }`),
    );

  test.each([
    ['get: "/x/{b}"', '"b" is no field of test.v1.M (did you mean `a`?)'],
    ['get: "/x/{child.b}"', '"b" is no field'],
    ['get: "/x/{many}"', 'repeated'],
    ['get: "/x/{labels}"', 'map'],
    ['get: "/x/{child}"', 'message'],
    ['get: "/x/{a.b}"', 'has no fields'],
    ['post: "/x" body: "b"', 'body "b" is no top-level field'],
    ['post: "/x" body: "child.a"', 'body "child.a" is no top-level field'],
    ['get: "/x" response_body: "b"', 'response_body "b" is no top-level field'],
    ['get: "x"', 'expected "/"'],
    ['body: "*"', 'without a path'],
    ['custom: { kind: "A B" path: "/x" }', 'custom kind "A B"'],
  ])('%s', async (rule, message) => {
    const problems = await load(rule);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ line: 17, method: 'test.v1.S/A', option: 'google.api.http' });
    expect(problems[0]?.file).toMatch(/test\/v1\/test\.proto$/);
    expect(problems[0]?.message).toContain(message);
  });
});
