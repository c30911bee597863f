import { status } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import { operationMetadataType } from '../../src/contract/own-messages.ts';
import { createHandle } from '../../src/edge/handle.ts';
import type { Invocation, Outcome } from '../../src/operations/invocation.ts';
import type { ListRequest } from '../../src/operations/resource/list.ts';
import { Failure } from '../../src/runtime/failure.ts';
import {
  callMethod,
  type GateParts,
  type GrpcGate,
  makeOperation,
  openGate,
  readDetails,
} from '../support/grpc-gate.ts';

const GET = '/google.longrunning.Operations/GetOperation';
const WAIT = '/google.longrunning.Operations/WaitOperation';
const CANCEL = '/google.longrunning.Operations/CancelOperation';
const LIST = '/google.longrunning.Operations/ListOperations';
const NAME = `operations/${makeOperation().id}`;
const gates: GrpcGate[] = [];

afterEach(async () => {
  for (const gate of gates.splice(0)) await gate.close();
});

async function open(parts: GateParts): Promise<GrpcGate> {
  const gate = await openGate(parts);
  gates.push(gate);
  return gate;
}

const jsonResult = (value: unknown) => ({
  value: Buffer.from(JSON.stringify(value)),
  contentType: 'application/json',
  httpStatus: null,
  headers: [],
});

test('GetOperation shows a running operation with its metadata', async () => {
  const operation = makeOperation({ progress: { percent: 40, message: 'grinding' } });
  const gate = await open({ operations: { get: async () => operation } });
  const { value } = await callMethod(gate, GET, { name: NAME });
  expect(value).toMatchObject({
    name: NAME,
    metadata: { type_url: 'type.googleapis.com/sluice.v1.OperationMetadata' },
  });
  expect(value.done).toBeFalsy();
  expect(operationMetadataType.decode(value.metadata.value)).toMatchObject({
    command: 'mill.v1.Mill/Grind',
    state: 3,
    progressPercent: 40,
    progressMessage: 'grinding',
    attempt: 1,
    createTime: { seconds: 1_700_000_000n, nanos: 123_000_000 },
    deadline: { seconds: 1_700_000_060n, nanos: 0 },
  });
});

test('a result is an Any of the method’s output type', async () => {
  const operation = makeOperation({ state: 'succeeded', result: jsonResult({ id: 'g', unknown: 1 }) });
  const gate = await open({ operations: { get: async () => operation } });
  const { value } = await callMethod(gate, GET, { name: NAME });
  expect(value).toMatchObject({ done: true, response: { type_url: 'type.googleapis.com/mill.v1.Grain' } });
  expect(value.response.value).toEqual(Buffer.from([0x0a, 1, 0x67]));
});

test.each([
  ['a command that the contract lacks', 'gone.v1.Gone/Do', jsonResult({ a: 1 }), 'google.protobuf.Value'],
  [
    'bytes that nobody can read',
    'gone.v1.Gone/Do',
    { ...jsonResult(1), value: Buffer.from([0xff]) },
    'google.protobuf.BytesValue',
  ],
  ['a result against the contract', 'mill.v1.Mill/Grind', jsonResult({ weight: 'heavy' }), 'google.protobuf.Value'],
])('a result of %s is shown as it came', async (_, command, result, typeName) => {
  const gate = await open({ operations: { get: async () => makeOperation({ command, state: 'succeeded', result }) } });
  const { value } = await callMethod(gate, GET, { name: NAME });
  expect(value.response.type_url).toBe(`type.googleapis.com/${typeName}`);
});

test('a failed operation carries the worker’s code and what became of the command', async () => {
  const error = {
    code: 'COMMAND_FAILED',
    grpcCode: 'ABORTED',
    message: 'no',
    details: null,
    delivery: 'failed',
  } as const;
  const gate = await open({ operations: { get: async () => makeOperation({ state: 'failed', error }) } });
  const { value } = await callMethod(gate, GET, { name: NAME });
  expect(value).toMatchObject({ done: true, error: { code: status.ABORTED, message: 'no' } });
  expect(value.error.details[0].type_url).toBe('type.googleapis.com/google.rpc.ErrorInfo');
});

test('an operation that is not there is NOT_FOUND, and the request has sent nothing', async () => {
  const get = async () => {
    throw new Failure('OPERATION_NOT_FOUND', 'no such operation');
  };
  const gate = await open({ operations: { get } });
  const answered = await callMethod(gate, GET, { name: NAME });
  expect(answered.status.code).toBe(status.NOT_FOUND);
  expect(readDetails(answered).info?.metadata).toEqual({ requestId: 'request-1', delivery: 'not_sent' });
});

test('a name that is none of an operation is refused by its field', async () => {
  const gate = await open({});
  const answered = await callMethod(gate, GET, { name: 'shelves/1' });
  expect(answered.status.code).toBe(status.INVALID_ARGUMENT);
  expect(readDetails(answered).violations[0]?.field).toBe('name');
});

test('WaitOperation waits to the timeout, the deadline or the bound, whichever is first', async () => {
  const untils: number[] = [];
  const gate = await open({
    clock: { wallMs: () => 0, monotonicMs: () => 0, setTimer: () => () => undefined },
    options: { maxOperationWaitMs: 60_000 },
    operations: {
      wait: async (_id, _principal, { untilMs }) => {
        untils.push(untilMs);
        return makeOperation();
      },
    },
  });
  await callMethod(gate, WAIT, { name: NAME, timeout: { seconds: 2, nanos: 5e8 } });
  await callMethod(gate, WAIT, { name: NAME });
  await callMethod(gate, WAIT, { name: NAME, timeout: { seconds: 3600 } }, { timeoutMs: 10_000 });
  expect(untils.slice(0, 2)).toEqual([2500, 60_000]);
  expect(untils[2]).toBeLessThanOrEqual(9500);
  expect(untils[2]).toBeGreaterThan(1000);
});

test('a drain ends waits for operations', async () => {
  const waiting = Promise.withResolvers<void>();
  const gate = await open({
    operations: {
      wait: async (_id, _principal, { signal }) => {
        waiting.resolve();
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        return makeOperation();
      },
    },
  });
  const answer = callMethod(gate, WAIT, { name: NAME });
  await waiting.promise;
  gate.server.beginDrain();
  expect((await answer).value).toMatchObject({ name: NAME });
});

test('ListOperations passes filter and page on and the next page back', async () => {
  const queries: ListRequest[] = [];
  const gate = await open({
    operations: {
      list: async (_principal, query) => {
        queries.push(query);
        return { operations: [makeOperation()], nextPageToken: 'next' };
      },
    },
  });
  const filter = 'command = "mill.v1.Mill/Grind" AND state=RUNNING';
  const { value } = await callMethod(gate, LIST, { name: 'operations', filter, pageSize: 5, pageToken: 'here' });
  expect(value).toMatchObject({ operations: [{ name: NAME }], nextPageToken: 'next' });
  await callMethod(gate, LIST, {});
  expect(queries).toEqual([
    { command: 'mill.v1.Mill/Grind', state: 'running', pageSize: 5, pageToken: 'here' },
    { command: null, state: null, pageSize: null, pageToken: null },
  ]);
});

test.each([
  ['state = nowhere', 'filter'],
  ['color = "red"', 'filter'],
  ['state = running OR state = failed', 'filter'],
  ['state = running AND state = failed', 'filter'],
  ['command = "mill.v1.Mill/Grid"', 'filter'],
])('the filter %s is refused', async (filter, field) => {
  const gate = await open({});
  const answered = await callMethod(gate, LIST, { filter });
  expect(answered.status.code).toBe(status.INVALID_ARGUMENT);
  expect(readDetails(answered).violations[0]?.field).toBe(field);
});

test('CancelOperation cancels and answers nothing (AIP-151)', async () => {
  const cancelled: string[] = [];
  const cancel = async (id: string) => {
    cancelled.push(id);
    return makeOperation({ state: 'cancelled' });
  };
  const gate = await open({ operations: { cancel } });
  const answered = await callMethod(gate, CANCEL, { name: NAME });
  expect([answered.status.code, answered.bytes?.length]).toEqual([status.OK, 0]);
  expect(cancelled).toEqual([makeOperation().id]);
});

test('CancelOperation of what is not there is NOT_FOUND', async () => {
  const cancel = async () => {
    throw new Failure('OPERATION_NOT_FOUND', 'no such operation');
  };
  const gate = await open({ operations: { cancel } });
  const answered = await callMethod(gate, CANCEL, { name: NAME });
  expect(answered.status.code).toBe(status.NOT_FOUND);
  expect(readDetails(answered).info?.reason).toBe('OPERATION_NOT_FOUND');
});

test('DeleteOperation is UNIMPLEMENTED, with details', async () => {
  const gate = await open({});
  const answered = await callMethod(gate, '/google.longrunning.Operations/DeleteOperation', { name: NAME });
  expect(answered.status.code).toBe(status.UNIMPLEMENTED);
  expect(readDetails(answered).info).toMatchObject({ domain: 'sluice', reason: 'ROUTE_NOT_FOUND' });
});

test('a cancelled operation is an error CANCELLED over GetOperation and WaitOperation', async () => {
  const error = {
    code: 'OPERATION_CANCELLED' as const,
    grpcCode: 'CANCELLED' as const,
    message: 'cancelled by its caller',
    details: null,
    delivery: 'unknown' as const,
  };
  const get = async () => makeOperation({ state: 'cancelled', error });
  const gate = await open({ operations: { get, wait: get } });
  for (const method of [GET, WAIT]) {
    const { value } = await callMethod(gate, method, { name: NAME });
    expect(value).toMatchObject({ done: true, error: { code: status.CANCELLED, message: 'cancelled by its caller' } });
  }
});

test('times have no digits that nobody measured', async () => {
  const gate = await open({ operations: { get: async () => makeOperation({ createdAtMs: 1_700_000_000_123.456 }) } });
  const { value } = await callMethod(gate, GET, { name: NAME });
  expect(operationMetadataType.decode(value.metadata.value)).toMatchObject({
    createTime: { seconds: 1_700_000_000n, nanos: 123_000_000 },
  });
});

test('a method that returns an operation is not waited for and answers with it', async () => {
  const waits: unknown[] = [];
  const operation = makeOperation({ command: 'mill.v1.Mill/GrindLong', state: 'accepted' });
  const invoke = async ({ wait, onRecorded }: Invocation): Promise<Outcome> => {
    waits.push(wait);
    onRecorded?.(operation);
    return { kind: 'pending', operation };
  };
  const gate = await open({ handle: createHandle(invoke, { maxHops: 8 }) });
  const { value, status: end } = await callMethod(gate, '/mill.v1.Mill/GrindLong', { id: 'x' });
  expect(end.code).toBe(status.OK);
  expect(value).toMatchObject({ name: NAME });
  expect(waits).toEqual([{ kind: 'none' }]);
});

test.each([
  ['not_sent', true],
  ['unknown', false],
] as const)(
  'a command that Kafka did not take, %s: RetryInfo is %s, as Retry-After is over REST',
  async (delivery, has) => {
    const error = {
      code: 'CHANNEL_UNAVAILABLE',
      grpcCode: 'UNAVAILABLE',
      message: 'away',
      details: null,
      delivery,
    } as const;
    const operation = makeOperation({ state: 'failed', error });
    const handle = createHandle(async () => ({ kind: 'settled', operation }), { maxHops: 8 });
    const gate = await open({ handle, operations: { get: async () => operation } });
    const called = await callMethod(gate, '/mill.v1.Mill/Grind', { id: 'x' });
    expect(called.status.code).toBe(status.UNAVAILABLE);
    const { value } = await callMethod(gate, GET, { name: NAME });
    const inOperation = value.error.details.map((each: { type_url: string }) => each.type_url);
    for (const typeUrls of [readDetails(called).typeUrls, inOperation]) {
      expect(typeUrls.includes('type.googleapis.com/google.rpc.RetryInfo')).toBe(has);
    }
  },
);
