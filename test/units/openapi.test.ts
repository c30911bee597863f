import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { loadContract } from '../../src/contract/contract.ts';
import { createOpenapi, describeContract, type OpenApiDocument } from '../../src/contract/openapi.ts';
import { OPERATION_STATES } from '../../src/operations/operation.ts';
import { OPERATION_EVENT_TYPES } from '../../src/operations/transitions.ts';
import { FAILURES } from '../../src/runtime/failure.ts';
import { loadProto, writeFolder } from './contract-support.ts';

const ROOT = join(import.meta.dirname, '../..');

const contract = await loadProto(`
// Everything that the document has a form for.
service Things {
  // Makes a thing. It takes a while.
  rpc Make(Thing) returns (Thing) {
    option (google.api.http) = { post: "/v1/things" body: "*" additional_bindings { put: "/v1/things/{id}" body: "*" } };
    option (sluice.v1.command) = { success_status: 201 };
  }
  rpc Read(ReadRequest) returns (Thing) {
    option (google.api.http) = { get: "/v1/things/{thing_id}" };
    option (sluice.v1.command) = { on_timeout: FAIL };
  }
  rpc Tell(Thing) returns (google.protobuf.Empty) {
    option (google.api.http) = { post: "/v1/things/{id}:tell" body: "owner" };
    option (sluice.v1.command) = { style: NOTIFY };
  }
  rpc Walk(Name) returns (Parts) {
    option (google.api.http) = { get: "/v1/{name=shelves/*/books/*}/{rest=**}" response_body: "parts" };
    option deprecated = true;
  }
  rpc Hidden(Name) returns (Parts);
}
message Thing {
  // The id of the thing.
  string id = 1;
  int64 big = 2;
  uint32 count = 3 [(buf.validate.field).uint32 = { gte: 1 lt: 10 }];
  google.protobuf.Timestamp at = 4;
  google.protobuf.Duration wait = 5;
  google.protobuf.StringValue note = 6;
  google.protobuf.Struct free = 7;
  google.protobuf.Any any = 8;
  Color color = 9;
  map<string, int32> counts = 10 [(buf.validate.field).map.max_pairs = 3];
  repeated string tags = 11 [(buf.validate.field).repeated = { min_items: 1 items: { string: { max_len: 5 } } }];
  oneof choice { string left = 12; string right = 13; }
  Owner owner = 14 [(google.api.field_behavior) = REQUIRED];
  bytes blob = 15;
  Thing inner = 16;
  string code = 17 [(buf.validate.field).string = { pattern: "^[A-Z]+$" min_len: 2 }];
  string mail = 18 [(buf.validate.field).string.email = true, (google.api.field_behavior) = OUTPUT_ONLY];
  google.protobuf.FieldMask mask = 19;
  optional string maybe = 20 [(buf.validate.field).string.min_len = 1];
  string old = 21 [deprecated = true];
  enum Color {
    COLOR_UNSPECIFIED = 0;
    // Like the sky.
    BLUE = 1;
  }
}
message Owner { string name = 1 [(google.api.field_behavior) = REQUIRED]; Owner boss = 2; }
message ReadRequest { string thing_id = 1; Owner owner = 2; repeated int32 numbers = 3; repeated Owner owners = 4; }
message Name { string name = 1; string rest = 2; }
message Parts { repeated Name parts = 1; }
`);

const document = describeContract(contract);

function schemaOf(name: string): Record<string, never> & { properties: Record<string, unknown>; required?: string[] } {
  return document.components['schemas']![name] as never;
}

// biome-ignore lint/suspicious/noExplicitAny: a document is a tree of anything.
function operation(path: string, method: string): any {
  return document.paths[path]?.[method];
}

const LINT_TIMEOUT_MS = 120_000;

async function lint(subject: OpenApiDocument): Promise<string> {
  const folder = await writeFolder({});
  const file = join(folder, 'openapi.json');
  await writeFile(file, JSON.stringify(subject));
  const spectral = join(ROOT, 'node_modules/.bin/spectral');
  const args = ['lint', file, '--ruleset', join(ROOT, '.spectral.yaml'), '--fail-severity', 'hint', '--quiet'];
  return promisify(execFile)(spectral, args).then(
    () => '',
    (error: { stdout: string; stderr: string }) => `${error.stdout}${error.stderr}`,
  );
}

describe('messages', () => {
  it('have the form of canonical proto3 JSON', () => {
    expect(schemaOf('test.v1.Thing').properties).toMatchObject({
      id: { type: 'string', description: 'The id of the thing.' },
      big: { type: 'string', format: 'int64' },
      at: { type: 'string', format: 'date-time' },
      wait: { type: 'string', pattern: expect.stringContaining('s$') },
      note: { type: ['string', 'null'] },
      free: { type: 'object' },
      any: { type: 'object', required: ['@type'] },
      color: { $ref: '#/components/schemas/test.v1.Thing.Color' },
      counts: { type: 'object', additionalProperties: { type: 'integer', format: 'int32' } },
      blob: { type: 'string', contentEncoding: 'base64' },
      inner: { $ref: '#/components/schemas/test.v1.Thing' },
      mask: { type: 'string' },
      old: { type: 'string', deprecated: true },
    });
    expect(schemaOf('test.v1.Thing.Color')).toEqual({
      type: 'string',
      enum: ['COLOR_UNSPECIFIED', 'BLUE'],
      description: '- `BLUE`: Like the sky.',
    });
  });

  it('carry the rules of the contract', () => {
    const { properties, required } = schemaOf('test.v1.Thing');
    expect(properties).toMatchObject({
      count: { minimum: 1, exclusiveMaximum: 10 },
      counts: { maxProperties: 3 },
      tags: { type: 'array', minItems: 1, items: { type: 'string', maxLength: 5 } },
      code: { pattern: '^[A-Z]+$', minLength: 2 },
      mail: { format: 'email', readOnly: true },
      maybe: { minLength: 1 },
    });
    expect(required).toEqual(['tags', 'owner', 'code']);
  });

  it('allow at most one member of a oneof', () => {
    const each = [{ required: ['left'] }, { required: ['right'] }];
    expect(schemaOf('test.v1.Thing')['allOf']).toEqual([{ oneOf: [...each, { not: { anyOf: each } }] }]);
  });
});

describe('routes', () => {
  it('answer with the result, or with 202 and its links', () => {
    const { responses, parameters, summary, description, requestBody } = operation('/v1/things', 'post');
    expect(Object.keys(responses)).toEqual(['201', '202', '422', '4XX', '5XX']);
    expect(responses['201'].content['application/json'].schema).toEqual({ $ref: '#/components/schemas/test.v1.Thing' });
    expect(responses['202']).toEqual({ $ref: '#/components/responses/Accepted' });
    expect(parameters).toEqual([
      { $ref: '#/components/parameters/Prefer' },
      { $ref: '#/components/parameters/IdempotencyKey' },
    ]);
    expect([summary, description]).toEqual(['Makes a thing', 'Makes a thing. It takes a while.']);
    expect(requestBody).toMatchObject({ required: true });
    const accepted = document.components['responses']!['Accepted'] as never as { headers: object; links: object };
    expect(Object.keys(accepted.headers)).toEqual(
      expect.arrayContaining(['Location', 'Operation-Location', 'Retry-After']),
    );
    expect(accepted.links).toMatchObject({ status: { operationId: 'sluice.GetOperation' } });
  });

  it('that differ in the names of their variables alone are one path', () => {
    expect(Object.keys(document.paths['/v1/things/{id}']!)).toEqual(['put', 'get']);
    expect(operation('/v1/things/{id}', 'get').parameters[0]).toMatchObject({ name: 'id', in: 'path', required: true });
    expect(document.paths['/v1/things/{thing_id}']).toBeUndefined();
  });

  it('take what the path says out of the body', () => {
    const { schema } = operation('/v1/things/{id}', 'put').requestBody.content['application/json'];
    expect(Object.keys(schema.properties)).not.toContain('id');
    expect(Object.keys(schema.properties)).toContain('big');
  });

  it('list the fields that neither path nor body binds as query parameters', () => {
    const names = (path: string, method: string) =>
      operation(path, method).parameters.flatMap((each: { in?: string; name: string }) =>
        each.in === 'query' ? each.name : [],
      );
    expect(names('/v1/things/{id}', 'get')).toEqual(['owner.name', 'numbers']);
    expect(names('/v1/things/{id}:tell', 'post')).toContain('big');
    expect(names('/v1/things/{id}:tell', 'post')).not.toContain('owner.name');
  });

  it('have one segment a parameter', () => {
    const path = '/v1/shelves/{shelves_id}/books/{books_id}/{rest}';
    const { parameters, deprecated, responses } = operation(path, 'get');
    expect(parameters.slice(0, 3).map((each: { name: string }) => each.name)).toEqual([
      'shelves_id',
      'books_id',
      'rest',
    ]);
    expect(parameters[0].description).toContain('`shelves/*/books/*`');
    expect(parameters[2].description).toContain('Any number of segments');
    expect(deprecated).toBe(true);
    expect(responses['200'].content['application/json'].schema).toMatchObject({ type: 'array' });
  });

  it('promise no operation where there is none', () => {
    expect(Object.keys(operation('/v1/things/{id}', 'get').responses)).toEqual(['200', '422', '4XX', '5XX']);
    const tell = operation('/v1/things/{id}:tell', 'post');
    expect(tell.responses['202']).toEqual({ $ref: '#/components/responses/Noted' });
    expect(JSON.stringify(tell.parameters)).not.toContain('Prefer');
  });

  it('without an HTTP rule are not in the document', () => {
    expect(createOpenapi(contract)).not.toContain('Hidden');
  });
});

describe('the document', () => {
  it('has the closed list of codes', () => {
    expect(schemaOf('sluice.Problem').properties['code']).toMatchObject({ enum: Object.keys(FAILURES) });
  });

  it('has the states and the events that there are', () => {
    expect(schemaOf('sluice.Operation').properties['state']).toMatchObject({ enum: OPERATION_STATES });
    expect(schemaOf('sluice.Event').properties['type']).toMatchObject({ enum: OPERATION_EVENT_TYPES });
  });

  it(
    'asks for the key where the policy does, and has no part that nothing refers to',
    async () => {
      const keyed = describeContract(
        await loadProto(`service S {
        rpc Pay(M) returns (M) {
          option (google.api.http) = { post: "/v1/pay" body: "*" };
          option (sluice.v1.command) = { idempotency_key: REQUIRED };
        }
      } message M { string a = 1; }`),
      );
      expect(keyed.paths['/v1/pay']?.['post']).toMatchObject({
        parameters: expect.arrayContaining([{ $ref: '#/components/parameters/IdempotencyKeyRequired' }]),
        responses: { 422: { $ref: '#/components/responses/KeyReused' } },
      });
      expect(keyed.components['parameters']).toMatchObject({ IdempotencyKeyRequired: { required: true } });
      expect(keyed.components['parameters']).not.toHaveProperty('IdempotencyKey');
      expect(await lint(keyed)).toBe('');
    },
    LINT_TIMEOUT_MS,
  );

  it('has what may be asked of an operation', () => {
    expect(operation('/operations/{id}:cancel', 'post').operationId).toBe('sluice.CancelOperation');
    expect(operation('/operations/{id}:redrive', 'post').operationId).toBe('sluice.RedriveOperation');
    expect(Object.keys(operation('/operations/{id}/events', 'get').responses['200'].content)).toEqual([
      'application/json',
      'text/event-stream',
    ]);
  });

  it('puts the own routes below the base path and everything below the public URL', () => {
    const based = describeContract(contract, { basePath: '/gate', publicUrl: 'https://api.example.org/' });
    expect(based.servers).toEqual([{ url: 'https://api.example.org' }]);
    expect(Object.keys(based.paths)).toEqual(expect.arrayContaining(['/gate/operations/{id}', '/v1/things']));
  });

  it('is the same for the same contract', () => {
    expect(createOpenapi(contract)).toBe(JSON.stringify(document));
  });

  it('refers to nothing that is not there', () => {
    const text = JSON.stringify(document);
    for (const [, kind, name] of text.matchAll(/"#\/components\/([^/"]+)\/([^"]+)"/g)) {
      expect(document.components[kind!]?.[name!], `${kind}/${name}`).toBeDefined();
    }
  });

  it(
    'has no finding of the OpenAPI rules',
    async () => {
      expect(await lint(document)).toBe('');
    },
    LINT_TIMEOUT_MS,
  );

  it(
    'has none for a contract of others either',
    async () => {
      const library = await loadContract({ sources: [await libraryFolder()] });
      const subject = describeContract(library);
      expect(Object.keys(subject.paths)).toContain('/v1/shelves/{shelves_id}/books/{books_id}');
      expect(await lint(subject)).toBe('');
    },
    LINT_TIMEOUT_MS,
  );
});

/** google's example library, as npm has it. */
async function libraryFolder(): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  const name = 'google/example/library/v1/library.proto';
  return writeFolder({ [name]: await readFile(join(ROOT, 'node_modules/google-proto-files', name), 'utf8') });
}
