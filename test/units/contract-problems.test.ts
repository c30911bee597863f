/** What is wrong with a contract or its policies is told at once, with its place and what was expected. */

import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadContract } from '../../src/contract/contract.ts';
import { formatProblem } from '../../src/contract/problems.ts';
import { loadProto, problemsOf, protoFile, writeFolder } from './contract-support.ts';

const withOption = (option: string, rest: Parameters<typeof loadProto>[1] = {}) =>
  loadProto(
    `service S {
  rpc A(M) returns (M) { option (sluice.v1.command) = { ${option} }; }
}
message M { string a = 1; repeated string many = 2; M child = 3; map<string, string> labels = 4; bytes raw = 5; }`,
    rest,
  );

describe('options of a method', () => {
  test.each([
    ['key: "b"', 'key', '"b" is no field of test.v1.M (did you mean `a`?)'],
    ['key: "many"', 'key', 'repeated'],
    ['key: "labels"', 'key', 'map'],
    ['key: "child"', 'key', 'expected a scalar field'],
    ['key: "a.b"', 'key', 'has no fields'],
    ['key: ""', 'key', 'not empty'],
    ['wait: "5"', 'wait', 'expected a duration such as "500ms"'],
    ['wait: "1.5s"', 'wait', 'expected a duration'],
    ['wait: "2h"', 'wait', 'to 1h'],
    ['timeout: "0s"', 'timeout', 'from 1ms'],
    ['timeout: "5s" wait: "6s"', 'wait', 'longer than the timeout of 5s'],
    ['max_wait: "5s" wait: "6s"', 'wait', 'longer than max_wait of 5s'],
    ['on_timeout: ON_TIMEOUT_UNSPECIFIED', 'on_timeout', 'expected ACCEPT or FAIL'],
    ['encoding: AVRO', 'encoding', 'reserved'],
    ['success_status: 404', 'success_status', 'from 200 to 299'],
    ['topic: "a b"', 'topic', 'expected a Kafka topic name'],
    ['forward_headers: "Authorization"', 'forward_headers', 'may not be listed'],
    ['forward_headers: "a b"', 'forward_headers', 'expected a header name'],
    ['reply_headers: "Content-Length"', 'reply_headers', 'may not be listed'],
    ['constant_headers: { key: "kafka_replyTopic" value: "x" }', 'constant_headers', 'meaning of its own'],
    ['constant_headers: { key: "id" value: "x" }', 'constant_headers', 'meaning of its own'],
    ['worker_group: "a b"', 'worker_group', 'expected the name of a consumer group'],
    ['redeliver_after: "1s"', 'redeliver_after', 'without `idempotent: true`'],
    ['max_attempts: 2', 'max_attempts', 'without `idempotent: true`'],
    ['idempotent: false max_attempts: 2', 'max_attempts', 'without `idempotent: true`'],
    ['idempotent: true max_attempts: 0', 'max_attempts', 'from 1 to 100'],
    ['idempotent: true max_attempts: 101', 'max_attempts', 'from 1 to 100'],
    ['idempotent: true redeliver_after: "60s"', 'redeliver_after', 'less than the timeout of 1m'],
    ['ordered: true', 'ordered', 'without a `key`'],
    ['ordered: true key: "a" record: AUTO', 'record', 'on an ordered command'],
    ['ordered: true key: "a" idempotent: true max_attempts: 2', 'max_attempts', 'on an ordered command'],
    ['idempotency_key: IDEMPOTENCY_KEY_UNSPECIFIED', 'idempotency_key', 'expected OPTIONAL or REQUIRED'],
    ['backlog: 2', 'backlog', 'reserved'],
    ['limits: {}', 'limits', 'reserved'],
    ['breaker: {}', 'breaker', 'reserved'],
    ['auth: {}', 'auth', 'reserved'],
  ])('%s', async (option, field, message) => {
    const problems = await problemsOf(withOption(option));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ line: 17, method: 'test.v1.S/A', option: `(sluice.v1.command).${field}` });
    expect(problems[0]?.file).toMatch(/test\/v1\/test\.proto$/);
    expect(problems[0]?.message).toContain(message);
  });

  describe.each(['M', 'stream M'])('where requests stream, to %s,', (output) => {
    test.each([
      ['record: ALWAYS', 'record', 'expected AUTO'],
      ['idempotency_key: REQUIRED', 'idempotency_key', 'expected OPTIONAL'],
      ['ordered: true key: "a"', 'ordered', 'expected false'],
    ])('%s is refused', async (option, field, message) => {
      const problems = await problemsOf(
        loadProto(`service S {
          rpc A(stream M) returns (${output}) { option (sluice.v1.command) = { ${option} }; }
        } message M { string a = 1; }`),
      );
      expect(problems).toMatchObject([{ option: `(sluice.v1.command).${field}` }]);
      expect(problems[0]?.message).toContain(message);
    });
  });

  test('a one-way method cannot return an operation', async () => {
    const problems = await problemsOf(
      loadProto(`service S {
        rpc A(M) returns (google.longrunning.Operation) { option (sluice.v1.command) = { style: NOTIFY }; }
      } message M {}`),
    );
    expect(problems[0]?.message).toContain('expected REPLY');
  });

  test('an option that does not exist is the compiler’s to tell, with its line', async () => {
    const problems = await problemsOf(withOption('waits: "5s"'));
    expect(problems).toMatchObject([
      { line: 17, message: '"waits" is no field of (sluice.v1.command) (did you mean `wait`?)' },
    ]);
    expect(problems[0]?.file).toMatch(/test\/v1\/test\.proto$/);
  });
});

describe('policies of the config', () => {
  test('win over the option field by field: method, service, option, defaults', async () => {
    const contract = await withOption(
      'topic: "o" wait: "4s" timeout: "40s" on_timeout: FAIL json: { emit_defaults: true }',
      {
        policies: {
          defaults: { topic: 'd', wait: '1s', timeout: '10s', max_wait: '5s', success_status: 201 },
          services: { 'test.v1.S': { topic: 's', wait: '3s', json: { names: 'proto' } } },
          methods: { 'test.v1.S/A': { topic: 'm' } },
        },
      },
    );
    expect(contract.commands.get('test.v1.S/A')?.policy).toMatchObject({
      topic: 'm',
      waitMs: 3000,
      timeoutMs: 40_000,
      maxWaitMs: 5000,
      successStatus: 201,
      onTimeout: 'FAIL',
      json: { emitDefaults: true, names: 'proto' },
    });
  });

  test('a default wait gives way to a shorter timeout', async () => {
    const contract = await withOption('timeout: "2s"');
    expect(contract.commands.get('test.v1.S/A')?.policy.waitMs).toBe(2000);
  });

  test('a method may be named with a dot', async () => {
    const contract = await withOption('', { policies: { methods: { 'test.v1.S.A': { topic: 't' } } } });
    expect(contract.commands.get('test.v1.S/A')?.policy.topic).toBe('t');
  });

  test('names, keys and values that are wrong are told at once, with the nearest known ones', async () => {
    const problems = await problemsOf(
      withOption('', {
        policies: {
          file: 'sluice.yaml',
          defaults: { tiemout: '5s' },
          services: { 'test.v1.T': {} },
          methods: { 'test.v1.S/B': {}, 'test.v1.S/A': { wait: 5, topic: ['x'], json: { name: 'proto' }, auth: {} } },
        },
      }),
    );
    expect(problems.map(formatProblem)).toEqual([
      'sluice.yaml: defaults.tiemout: is no policy field (did you mean `timeout`?)',
      'sluice.yaml: services.test.v1.T: is no service of the contract (did you mean `test.v1.S`?)',
      'sluice.yaml: methods.test.v1.S/B: is no method of the contract (did you mean `test.v1.S/A`?)',
      expect.stringContaining('sluice.yaml: methods.test.v1.S/A.wait: is 5, expected a duration'),
      expect.stringContaining('sluice.yaml: methods.test.v1.S/A.topic: is a list, expected a Kafka topic name'),
      expect.stringContaining(
        'sluice.yaml: methods.test.v1.S/A.json: has "name", which is no field of it (did you mean `names`?)',
      ),
      'sluice.yaml: methods.test.v1.S/A.auth: is reserved: this version does not serve it',
    ]);
  });

  test('what does not fit the method is told at its place in the config', async () => {
    const problems = await problemsOf(
      withOption('', {
        policies: { file: 'c.yaml', methods: { 'test.v1.S/A': { wait: '50s', timeout: '5s', key: 'b' } } },
      }),
    );
    expect(problems.map((problem) => [problem.file, problem.option])).toEqual([
      ['c.yaml', 'methods.test.v1.S/A.wait'],
      ['c.yaml', 'methods.test.v1.S/A.key'],
    ]);
  });

  test.each([[5], ['x'], [[]]])('sections that are no mappings are told: %j', async (section) => {
    const policies = { defaults: section, services: section as never, methods: section as never };
    expect(await problemsOf(withOption('', { policies }))).toHaveLength(3);
  });

  test('names of prototypes are names like any other', async () => {
    const defaults = JSON.parse('{"__proto__":{},"constructor":1}');
    const problems = await problemsOf(withOption('', { policies: { defaults } }));
    expect(problems.map((problem) => problem.option)).toEqual(['defaults.__proto__', 'defaults.constructor']);
  });
});

describe('routes', () => {
  const twoRoutes = (first: string, second: string, options = {}) =>
    loadProto(
      `service S {
  rpc A(M) returns (M) { option (google.api.http) = { ${first} }; }
  rpc B(M) returns (M) { option (google.api.http) = { ${second} }; }
}
message M { string a = 1; string b = 2; }`,
      options,
    );

  test.each([
    ['get: "/v1/{a}"', 'get: "/v1/{b}"'],
    ['get: "/v1/x/*"', 'get: "/v1/{b=x/*}"'],
    ['post: "/v1/x:do"', 'post: "/v1/x:do"'],
    ['get: "/v1/a%20b"', 'get: "/v1/%61%20b"'],
    ['get: "/x" additional_bindings { get: "/v1/**" }', 'get: "/v1/{a=**}"'],
  ])('of one method and shape are a problem: %s and %s', async (first, second) => {
    const problems = await problemsOf(twoRoutes(first, second));
    expect(problems).toMatchObject([{ line: 18, method: 'test.v1.S/B', option: 'google.api.http' }]);
    expect(problems[0]?.message).toMatch(/method and shape of .* of test\.v1\.S\/A \(.*test\.proto:17\)/);
  });

  test.each([
    ['get: "/v1/{a}"', 'post: "/v1/{b}" body: "*"'],
    ['get: "/v1/{a}"', 'get: "/v1/{b}:do"'],
    ['get: "/v1/{a}"', 'get: "/v1/x"'],
    ['get: "/v1/{a}"', 'get: "/v1/{b=**}"'],
  ])('that differ are none: %s and %s', async (first, second) => {
    expect((await twoRoutes(first, second)).routes.routes).toHaveLength(2);
  });

  test.each([
    ['/operations'],
    ['/operations/{a}'],
    ['/webhooks/x/y'],
    ['/docs'],
    ['/openapi.json'],
    ['/operations/{a}:cancel'],
  ])('%s collides with Sluice’s own', async (path) => {
    const problems = await problemsOf(twoRoutes(`get: "${path}"`, 'get: "/ok"'));
    expect(problems).toMatchObject([{ line: 17, message: expect.stringContaining('collides') }]);
    const moved = await twoRoutes(`get: "${path}"`, 'get: "/ok"', { basePath: '/sluice' });
    expect(moved.routes.routes).toHaveLength(2);
  });

  test('below the base path collide', async () => {
    expect(
      await problemsOf(twoRoutes('get: "/sluice/operations/x"', 'get: "/ok"', { basePath: '/sluice' })),
    ).toHaveLength(1);
  });
});

test('everything wrong in a contract is told at once', async () => {
  const problems = await problemsOf(
    loadProto(
      `service S {
  rpc A(M) returns (M) { option (google.api.http) = { get: "/{b}" }; option (sluice.v1.command) = { wait: "x" key: "y" }; }
  rpc B(M) returns (M) { option (google.api.http) = { get: "/docs" }; }
  rpc C(M) returns (google.longrunning.Operation) {
    option (google.longrunning.operation_info) = { response_type: "Nothing" metadata_type: "M" };
  }
  rpc D(Outer) returns (M);
}
message Outer { R inner = 1; }
message M { string a = 1; }
message R { string a = 1 [(buf.validate.field).cel = { id: "x" message: "x" expression: "this.nothing(" }]; }`,
      { policies: { methods: { 'test.v1.S/Z': {} } } },
    ),
  );
  expect(problems.map((problem) => [problem.method, problem.option])).toEqual([
    [undefined, 'methods.test.v1.S/Z'],
    ['test.v1.S/A', '(sluice.v1.command).wait'],
    ['test.v1.S/A', '(sluice.v1.command).key'],
    ['test.v1.S/A', 'google.api.http'],
    ['test.v1.S/C', 'google.longrunning.operation_info'],
    ['test.v1.S/D', 'buf.validate'],
    ['test.v1.S/B', 'google.api.http'],
  ]);
});

describe('sources', () => {
  const proto = 'syntax = "proto3"; package a; service S { rpc A(M) returns (M); } message M {}';

  test('all compile errors are told with file, line and column', async () => {
    const folder = await writeFolder({
      'a.proto': 'syntax = "proto3";\nmessage M {\n  Nothing a = 1;\n}\n',
      'b/b.proto': 'syntax = "proto3";\nmessage N { string a = 1 }\n',
    });
    expect(await problemsOf(loadContract({ sources: [folder] }))).toEqual([
      { file: join(folder, 'a.proto'), line: 3, column: 3, message: expect.stringContaining('Nothing') },
      { file: join(folder, 'b/b.proto'), line: 2, column: 26, message: expect.any(String) },
    ]);
  });

  test('places are told as the sources were named, through a symbolic link', async () => {
    const folder = await writeFolder({ 'real/a.proto': 'syntax = "proto3"; message {}' });
    await symlink(join(folder, 'real'), join(folder, 'link'));
    const problems = await problemsOf(loadContract({ sources: [join(folder, 'link')] }));
    expect(problems[0]?.file).toBe(join(folder, 'link', 'a.proto'));
  });

  test('what cannot be a source is told, all of it', async () => {
    const folder = await writeFolder({ 'a.proto': proto, 'broken.binpb': 'nonsense', 'empty.binpb': '' });
    await mkdir(join(folder, 'none'));
    const names = ['missing', 'a.proto', 'broken.binpb', 'empty.binpb', 'none'];
    const problems = await problemsOf(loadContract({ sources: names.map((name) => join(folder, name)) }));
    expect(problems.map((problem) => problem.file)).toEqual(names.map((name) => join(folder, name)));
    expect(problems.map((problem) => problem.message)).toEqual([
      expect.stringContaining('does not exist'),
      expect.stringContaining('expected the folder'),
      expect.stringContaining('is no compiled'),
      expect.stringContaining('has no files'),
      expect.stringContaining('has no .proto files'),
    ]);
  });

  test('none at all', async () => {
    expect(await problemsOf(loadContract({ sources: [] }))).toMatchObject([
      { message: expect.stringContaining('no contract') },
    ]);
  });

  test('a contract without services', async () => {
    const folder = await writeFolder({ 'a.proto': 'syntax = "proto3"; message M {}' });
    expect(await problemsOf(loadContract({ sources: [folder] }))).toMatchObject([
      { message: expect.stringContaining('no services') },
    ]);
  });

  test('two folders with one import path', async () => {
    const sources = [await writeFolder({ 'a.proto': proto }), await writeFolder({ 'a.proto': proto })];
    const problems = await problemsOf(loadContract({ sources }));
    expect(problems).toMatchObject([
      { file: join(sources[1]!, 'a.proto'), message: expect.stringContaining(sources[0]!) },
    ]);
  });

  test('an import that nobody has', async () => {
    const folder = await writeFolder({ 'a.proto': 'syntax = "proto3";\nimport "x/y.proto";\n' });
    expect(await problemsOf(loadContract({ sources: [folder] }))).toMatchObject([
      { line: 2, message: expect.stringContaining('x/y.proto') },
    ]);
  });

  test('folders without a compiler', async () => {
    const sources = [await writeFolder(protoFile('message M {}'))];
    const problems = await problemsOf(loadContract({ sources, buf: null }));
    expect(problems).toMatchObject([{ message: expect.stringContaining('sluice compile') }]);
  });

  test('a compiler that cannot be run', async () => {
    const sources = [await writeFolder({ 'a.proto': proto })];
    const problems = await problemsOf(loadContract({ sources, buf: join(sources[0]!, 'no-such-buf') }));
    expect(problems).toMatchObject([{ message: expect.stringContaining('cannot run buf') }]);
  });
});
