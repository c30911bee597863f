import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import { findBuf } from '../../src/contract/buf.ts';
import {
  healthCheckRequestType,
  healthCheckResponseType,
  type ReflectionRequest,
  reflectionRequestType,
  reflectionResponseType,
} from '../../src/contract/own-messages.ts';
import { answerWith, callRaw, type GateParts, type GrpcGate, openGate } from '../support/grpc-gate.ts';

const CHECK = '/grpc.health.v1.Health/Check';
const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;
const gates: GrpcGate[] = [];

afterEach(async () => {
  for (const gate of gates.splice(0)) await gate.close();
});

async function open(parts: GateParts = {}): Promise<GrpcGate> {
  const gate = await openGate(parts);
  gates.push(gate);
  return gate;
}

async function check(gate: GrpcGate, service: string): Promise<number> {
  const { bytes, status: end } = await callRaw(gate, CHECK, healthCheckRequestType.encode({ service }));
  return bytes === null ? -end.code : healthCheckResponseType.decode(bytes).status;
}

test('health follows the instance, for the server and each of its services', async () => {
  const gate = await open();
  expect(await check(gate, '')).toBe(NOT_SERVING);
  gate.server.setServing(true);
  for (const service of ['', 'mill.v1.Mill', 'google.longrunning.Operations']) {
    expect(await check(gate, service)).toBe(SERVING);
  }
  expect(await check(gate, 'nobody.v1.Nothing')).toBe(-status.NOT_FOUND);
});

function watch(gate: GrpcGate, service: string) {
  const statuses: number[] = [];
  const ended = Promise.withResolvers<ServiceError>();
  const call = gate.client.makeServerStreamRequest(
    '/grpc.health.v1.Health/Watch',
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
    healthCheckRequestType.encode({ service }),
  );
  call.on('data', (bytes: Buffer) => statuses.push(healthCheckResponseType.decode(bytes).status));
  call.on('error', (error: ServiceError) => ended.resolve(error));
  return { statuses, ended: ended.promise };
}

test('a health watch is told of each change and ended by a drain', async () => {
  const gate = await open();
  const known = watch(gate, 'mill.v1.Mill');
  const unknown = watch(gate, 'nobody.v1.Nothing');
  await expect.poll(() => [known.statuses, unknown.statuses]).toEqual([[NOT_SERVING], [SERVICE_UNKNOWN]]);
  gate.server.setServing(true);
  await expect.poll(() => known.statuses).toEqual([NOT_SERVING, SERVING]);
  gate.server.beginDrain();
  expect((await known.ended).code).toBe(status.UNAVAILABLE);
  expect((await unknown.ended).code).toBe(status.UNAVAILABLE);
  expect(known.statuses).toEqual([NOT_SERVING, SERVING, NOT_SERVING]);
  expect(unknown.statuses).toEqual([SERVICE_UNKNOWN]);
});

type Question = ReflectionRequest['messageRequest'];

async function ask(gate: GrpcGate, version: string, questions: readonly Question[]) {
  const call = gate.client.makeBidiStreamRequest(
    `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    (bytes: Buffer) => bytes,
    (bytes: Buffer) => bytes,
    new Metadata(),
  );
  for (const messageRequest of questions) call.write(reflectionRequestType.encode({ host: 'h', messageRequest }));
  call.end();
  const answers = [];
  for await (const bytes of call) answers.push(reflectionResponseType.decode(bytes).messageResponse);
  return answers;
}

/** Names of the files in an answer: field 1 of a FileDescriptorProto comes first. */
function fileNames(answer: Awaited<ReturnType<typeof ask>>[number] | undefined): string[] {
  if (answer?.case !== 'fileDescriptorResponse') throw new Error(`no files: ${JSON.stringify(answer)}`);
  return answer.value.fileDescriptorProto.map((bytes) => Buffer.from(bytes.subarray(2, 2 + bytes[1]!)).toString());
}

test.each(['v1', 'v1alpha'])('reflection %s lists the services of the contract and our own', async (version) => {
  const gate = await open();
  const [answer] = await ask(gate, version, [{ case: 'listServices', value: '' }]);
  expect(answer).toMatchObject({
    case: 'listServicesResponse',
    value: {
      service: [
        { name: 'google.longrunning.Operations' },
        { name: 'grpc.health.v1.Health' },
        { name: 'grpc.reflection.v1.ServerReflection' },
        { name: 'grpc.reflection.v1alpha.ServerReflection' },
        { name: 'mill.v1.Mill' },
      ],
    },
  });
});

test('a file comes with all that it imports, and what was sent is not sent again', async () => {
  const gate = await open();
  const [first, second] = await ask(gate, 'v1', [
    { case: 'fileContainingSymbol', value: 'mill.v1.Mill.Grind' },
    { case: 'fileContainingSymbol', value: 'google.longrunning.Operations' },
  ]);
  const names = fileNames(first);
  expect(names[0]).toBe('mill/v1/mill.proto');
  expect(names).toEqual(expect.arrayContaining(['mill/v1/grain.proto', 'google/protobuf/any.proto']));
  expect(new Set(names).size).toBe(names.length);
  expect(fileNames(second)).toEqual(['google/longrunning/operations.proto']);
});

test.each([
  ['a message', 'mill.v1.Grain', 'mill/v1/grain.proto'],
  ['a nested message', 'mill.v1.Grain.Origin', 'mill/v1/grain.proto'],
  ['a field', 'mill.v1.Grain.Origin.field_name', 'mill/v1/grain.proto'],
  ['a nested enum', 'mill.v1.Grain.Kind', 'mill/v1/grain.proto'],
  ['a value of a nested enum, which stands beside the enum', 'mill.v1.Grain.RYE', 'mill/v1/grain.proto'],
  ['a value of an enum at the top', 'mill.v1.COARSE', 'mill/v1/grain.proto'],
  ['an extension', 'mill.v1.unit', 'mill/v1/mill.proto'],
  ['a type of ours', 'sluice.v1.OperationMetadata', 'sluice/v1/operations.proto'],
  ['a type with a leading dot', '.mill.v1.Grain', 'mill/v1/grain.proto'],
])('reflection finds the file of %s', async (_, value, file) => {
  const gate = await open();
  const [answer] = await ask(gate, 'v1', [{ case: 'fileContainingSymbol', value }]);
  expect(fileNames(answer)[0]).toBe(file);
});

test('reflection finds extensions by type and number', async () => {
  const gate = await open();
  const containingType = 'google.protobuf.FieldOptions';
  const [file, numbers, byName] = await ask(gate, 'v1', [
    { case: 'fileContainingExtension', value: { containingType, extensionNumber: 50042 } },
    { case: 'allExtensionNumbersOfType', value: containingType },
    { case: 'fileByFilename', value: 'mill/v1/grain.proto' },
  ]);
  expect(fileNames(file)[0]).toBe('mill/v1/mill.proto');
  expect(numbers).toMatchObject({ value: { extensionNumber: expect.arrayContaining([50042]) } });
  expect(fileNames(byName)).toEqual(['mill/v1/grain.proto']);
});

test('what reflection does not know is an error in the answer, and the stream goes on', async () => {
  const gate = await open();
  const answers = await ask(gate, 'v1', [
    { case: 'fileByFilename', value: 'nothing.proto' },
    { case: 'fileContainingSymbol', value: 'nobody.Nothing' },
    // Values of an enum are not in it.
    { case: 'fileContainingSymbol', value: 'mill.v1.Grain.Kind.RYE' },
    { case: 'allExtensionNumbersOfType', value: 'nobody.Nothing' },
    { case: 'listServices', value: '' },
  ]);
  const notFound = { case: 'errorResponse', value: { errorCode: status.NOT_FOUND } };
  expect(answers.slice(0, 4)).toMatchObject([notFound, notFound, notFound, notFound]);
  expect(answers[4]?.case).toBe('listServicesResponse');
});

test('buf curl calls a method by reflection alone', async () => {
  const gate = await open({
    handle: async (call) => {
      for await (const request of call.requests) {
        const { id } = JSON.parse(call.command.codec.requestToJson(request));
        return answerWith(call.command, { id: `${id}!`, kind: 'RYE' });
      }
      throw new Error('no request');
    },
  });
  const url = `http://127.0.0.1:${gate.port}/mill.v1.Mill/Grind`;
  const args = ['curl', '--protocol', 'grpc', '--http2-prior-knowledge', '-d', '{"id":"a"}', url];
  const { stdout } = await promisify(execFile)(findBuf()!, args, { cwd: fileURLToPath(new URL('.', import.meta.url)) });
  expect(JSON.parse(stdout)).toEqual({ id: 'a!', kind: 'RYE' });
});

test('a drain lets open calls finish and takes no new connection', async () => {
  const arrived = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  const gate = await open({
    handle: async (call) => {
      arrived.resolve();
      await finish.promise;
      return answerWith(call.command, { id: 'late' });
    },
  });
  const answer = callRaw(gate, '/mill.v1.Mill/Grind', Buffer.alloc(0));
  await arrived.promise;
  gate.server.beginDrain();
  const other = new Client(`127.0.0.1:${gate.port}`, credentials.createInsecure());
  const refused = await callRaw({ ...gate, client: other }, CHECK, Buffer.alloc(0));
  other.close();
  expect(refused.status.code).toBe(status.UNAVAILABLE);
  finish.resolve();
  expect((await answer).status.code).toBe(status.OK);
  await gate.server.close(10_000);
});

test('close cuts off what does not end in time', async () => {
  const arrived = Promise.withResolvers<void>();
  const gate = await open({
    handle: () => {
      arrived.resolve();
      return new Promise(() => undefined);
    },
  });
  const answer = callRaw(gate, '/mill.v1.Mill/Grind', Buffer.alloc(0));
  await arrived.promise;
  await gate.server.close(0);
  expect((await answer).status.code).not.toBe(status.OK);
});

test('connections over the bound are closed', async () => {
  const gate = await open({ options: { maxConnections: 1 } });
  expect(await check(gate, '')).toBe(NOT_SERVING);
  const other = new Client(`127.0.0.1:${gate.port}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  const refused = await callRaw({ ...gate, client: other }, CHECK, Buffer.alloc(0));
  other.close();
  expect(refused.status.code).toBe(status.UNAVAILABLE);
});

test('an address that is taken is an error of listen', async () => {
  const gate = await open();
  await expect(openGate({ options: { port: gate.port } })).rejects.toThrow(/EADDRINUSE/);
});
