import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { compileContract } from '../../src/contract/compile.ts';
import { loadContract } from '../../src/contract/contract.ts';
import { call, commandOf, loadProto, problemsOf, protoFile, violationsOf, writeFolder } from './contract-support.ts';

const vendored = fileURLToPath(new URL('../../proto', import.meta.url));
const ECHO =
  'service S { rpc A(M) returns (M) { option (google.api.http) = { get: "/a" }; } } message M { string a = 1; }';

describe('a third-party contract with nothing but google.api.http is served unchanged', async () => {
  const folder = await writeFolder({});
  const path = 'google/example/library/v1/library.proto';
  const original = join(dirname(createRequire(import.meta.url).resolve('google-proto-files/package.json')), path);
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await cp(original, join(folder, path));
  const library = await loadContract({ sources: [folder] });

  test('all its methods are commands with the default policy', () => {
    expect(library.commands.size).toBe(11);
    expect(commandOf(library, 'google.example.library.v1.LibraryService/CreateShelf').policy).toMatchObject({
      topic: 'google.example.library.v1.LibraryService.CreateShelf',
      key: null,
      waitMs: 10_000,
      maxWaitMs: 60_000,
      timeoutMs: 60_000,
      onTimeout: 'ACCEPT',
      record: 'AUTO',
      encoding: 'json',
      json: { emitDefaults: false, names: 'json' },
      replyPartition: 'both',
      successStatus: 200,
      style: 'REPLY',
      maxAttempts: 1,
      redeliverAfterMs: null,
      workerGroup: null,
      ordered: false,
      idempotencyKey: 'OPTIONAL',
    });
  });

  test.each([
    ['POST', '/v1/shelves', { theme: 'x' }, { CreateShelf: { shelf: { theme: 'x' } } }],
    ['GET', '/v1/shelves/1', undefined, { GetShelf: { name: 'shelves/1' } }],
    ['GET', '/v1/shelves?page_size=5&pageToken=t', undefined, { ListShelves: { pageSize: 5, pageToken: 't' } }],
    ['DELETE', '/v1/shelves/1', undefined, { DeleteShelf: { name: 'shelves/1' } }],
    [
      'POST',
      '/v1/shelves/1:merge',
      { otherShelf: 'shelves/2' },
      { MergeShelves: { name: 'shelves/1', otherShelf: 'shelves/2' } },
    ],
    ['POST', '/v1/shelves/1/books', { title: 't' }, { CreateBook: { parent: 'shelves/1', book: { title: 't' } } }],
    ['GET', '/v1/shelves/1/books/2', undefined, { GetBook: { name: 'shelves/1/books/2' } }],
    ['GET', '/v1/shelves/1/books', undefined, { ListBooks: { parent: 'shelves/1' } }],
    ['DELETE', '/v1/shelves/1/books/2', undefined, { DeleteBook: { name: 'shelves/1/books/2' } }],
    [
      'PATCH',
      '/v1/shelves/1/books/2?updateMask=title',
      { title: 't' },
      { UpdateBook: { book: { name: 'shelves/1/books/2', title: 't' }, updateMask: 'title' } },
    ],
    [
      'POST',
      '/v1/shelves/1/books/2:move',
      { otherShelfName: 'shelves/2' },
      { MoveBook: { name: 'shelves/1/books/2', otherShelfName: 'shelves/2' } },
    ],
  ])('%s %s', (httpMethod, target, body, expected) => {
    expect(call(library, httpMethod, target, body)).toEqual(expected);
  });

  test('its required fields are required, wherever they come from', () => {
    expect(violationsOf(() => call(library, 'POST', '/v1/shelves'))).toEqual([{ pointer: '#', detail: 'is required' }]);
    expect(violationsOf(() => call(library, 'PATCH', '/v1/shelves/1/books/2', {}))).toEqual([
      { parameter: 'updateMask', detail: 'is required' },
    ]);
    expect(violationsOf(() => call(library, 'POST', '/v1/shelves/1:merge', {}))).toEqual([
      { pointer: '#/otherShelf', detail: 'is required' },
    ]);
  });
});

describe('sources', () => {
  test('may carry their own copies of what we vendor, all or some', async () => {
    const all = await writeFolder(protoFile(ECHO));
    await cp(vendored, all, { recursive: true });
    const some = await writeFolder(protoFile(ECHO));
    await mkdir(join(some, 'google/api'), { recursive: true });
    await cp(join(vendored, 'google/api/http.proto'), join(some, 'google/api/http.proto'));
    for (const folder of [all, some]) {
      expect([...(await loadContract({ sources: [folder] })).commands.keys()]).toEqual(['test.v1.S/A']);
    }
  });

  test('may be several folders, which import one another', async () => {
    const types = await writeFolder({
      'types/m.proto': 'syntax = "proto3"; package types; message M { string a = 1; }',
    });
    const service = await writeFolder({
      's.proto':
        'syntax = "proto3"; package s; import "types/m.proto"; service S { rpc A(types.M) returns (types.M); }',
    });
    expect((await loadContract({ sources: [service, types, service] })).commands.size).toBe(1);
  });

  test('may be a mounted volume, whose files are links into a hidden folder', async () => {
    const folder = await writeFolder({
      '..2026/s.proto': 'syntax = "proto3"; service S { rpc A(M) returns (M); } message M {}',
    });
    await symlink('..2026', join(folder, '..data'));
    await symlink(join('..data', 's.proto'), join(folder, 's.proto'));
    await symlink('.', join(folder, 'loop'));
    expect([...(await loadContract({ sources: [folder] })).commands.keys()]).toEqual(['S/A']);
  });

  test('may be symbolic links', async () => {
    const folder = await writeFolder(protoFile(ECHO));
    const link = join(await writeFolder({}), 'link');
    await symlink(folder, link);
    expect((await loadContract({ sources: [link, folder] })).commands.size).toBe(1);
  });

  test('compiled once, they need no compiler, and lose neither options nor comments', async () => {
    const folder = await writeFolder(
      protoFile(`service S {
        // Says it again.
        rpc A(M) returns (M) { option (sluice.v1.command) = { topic: "t" }; }
      }
      message M { string a = 1; }`),
    );
    const path = join(folder, 'contract.binpb');
    await writeFile(path, await compileContract([folder]));
    const command = commandOf(await loadContract({ sources: [path], buf: null }), 'test.v1.S/A');
    expect(command).toMatchObject({ comment: 'Says it again.', policy: { topic: 't' } });
  });

  test('a compiled set that lacks its imports is told', async () => {
    const folder = await writeFolder(protoFile(ECHO));
    const set = fromBinary(FileDescriptorSetSchema, await compileContract([folder]));
    set.file = set.file.filter((file) => file.name === 'test/v1/test.proto');
    const path = join(folder, 'contract.binpb');
    await writeFile(path, toBinary(FileDescriptorSetSchema, set));
    const problems = await problemsOf(loadContract({ sources: [path] }));
    expect(problems).toMatchObject([{ message: expect.stringContaining('not complete') }]);
  });

  test('folders and compiled sets go together', async () => {
    const first = await writeFolder(protoFile(ECHO));
    const path = join(first, 'contract.binpb');
    await writeFile(path, await compileContract([first]));
    const second = await writeFolder({
      'b.proto': `syntax = "proto3"; package b; import "google/api/annotations.proto";
        service T { rpc B(M) returns (M) { option (google.api.http) = { get: "/b" }; } } message M { string a = 1; }`,
    });
    const contract = await loadContract({ sources: [second, path] });
    expect(call(contract, 'GET', '/b?a=x')).toEqual({ B: { a: 'x' } });
    expect(call(contract, 'GET', '/a?a=x')).toEqual({ A: { a: 'x' } });
  });

  test('a compiled set holds what is imported and nothing else of ours', async () => {
    const folder = await writeFolder({
      'a.proto': 'syntax = "proto3"; package a; service S { rpc A(M) returns (M); } message M {}',
    });
    const set = fromBinary(FileDescriptorSetSchema, await compileContract([folder]));
    expect(set.file.map((file) => file.name)).toEqual(['a.proto']);
  });

  test('Sluice’s own and Google’s services among them are no commands', async () => {
    const folder = await writeFolder({
      ...protoFile(ECHO),
      'grpc/health/v1/health.proto':
        'syntax = "proto3"; package grpc.health.v1; service Health { rpc Check(R) returns (R); } message R {}',
    });
    await cp(join(vendored, 'google'), join(folder, 'google'), { recursive: true });
    const path = join(folder, 'contract.binpb');
    await writeFile(path, await compileContract([folder]));
    for (const source of [folder, path]) {
      expect([...(await loadContract({ sources: [source] })).commands.keys()]).toEqual(['test.v1.S/A']);
    }
  });

  test('leave the user’s folder as it was', async () => {
    const folder = await writeFolder(protoFile(ECHO));
    await loadContract({ sources: [folder] });
    await expect(readFile(join(folder, 'google/api/http.proto'))).rejects.toThrow('ENOENT');
  });
});

describe('reflection', async () => {
  const contract = await loadProto(ECHO);
  const { descriptors } = contract;

  test('finds files by name and by symbol', () => {
    const file = descriptors.fileByName('test/v1/test.proto');
    for (const symbol of ['test.v1.S', 'test.v1.S.A', 'test.v1.M', 'test.v1.M.a']) {
      expect(descriptors.fileContainingSymbol(symbol)).toBe(file);
    }
    expect(fromBinary(FileDescriptorProtoSchema, file!.bytes)).toMatchObject({
      name: 'test/v1/test.proto',
      package: 'test.v1',
    });
    expect(descriptors.fileByName('nothing.proto')).toBe(null);
    expect(descriptors.fileContainingSymbol('test.v1.Nothing')).toBe(null);
  });

  test('finds extensions', () => {
    const name = 'google.protobuf.MethodOptions';
    expect(descriptors.extensionNumbers(name)).toContain(72295728);
    expect(descriptors.fileContainingExtension(name, 72295728)?.name).toBe('google/api/annotations.proto');
    expect(descriptors.extensionNumbers('test.v1.M')).toEqual([]);
    expect(descriptors.extensionNumbers('test.v1.Nothing')).toBe(null);
  });

  test('gives a file with the names of its imports, each of which there is, options kept', () => {
    const file = descriptors.fileByName('test/v1/test.proto')!;
    expect(file.imports).toContain('google/api/annotations.proto');
    for (const name of file.imports) expect(descriptors.fileByName(name)?.name).toBe(name);
    const own = fromBinary(FileDescriptorProtoSchema, file.bytes);
    expect(own.service[0]?.method[0]?.options?.$unknown?.[0]?.no).toBe(72295728);
    expect(own.sourceCodeInfo).toBeUndefined();
  });

  test('services are listed as grpc-js wants them', async () => {
    const streams = await loadProto(`service S {
      rpc A(M) returns (M); rpc B(M) returns (stream M); rpc C(stream M) returns (M); rpc D(stream M) returns (stream M);
    } message M {}`);
    expect(streams.services).toMatchObject([
      {
        name: 'test.v1.S',
        methods: [
          { path: '/test.v1.S/A', requestStream: false, responseStream: false, command: { kind: 'unary' } },
          { path: '/test.v1.S/B', requestStream: false, responseStream: true, command: { kind: 'server_streaming' } },
          { path: '/test.v1.S/C', requestStream: true, responseStream: false, command: { kind: 'client_streaming' } },
          { path: '/test.v1.S/D', requestStream: true, responseStream: true, command: { kind: 'bidi_streaming' } },
        ],
      },
    ]);
  });
});
