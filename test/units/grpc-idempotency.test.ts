import { status } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import type { Handle } from '../../src/edge/call.ts';
import { createHandle } from '../../src/edge/handle.ts';
import type { Invocation } from '../../src/operations/invocation.ts';
import { Failure } from '../../src/runtime/failure.ts';
import {
  answerWith,
  callRaw,
  failingHandle,
  type GateParts,
  type GrpcGate,
  openGate,
  readDetails,
} from '../support/grpc-gate.ts';

const GRIND = '/mill.v1.Mill/Grind';
const SELL = '/mill.v1.Mill/Sell';
const gates: GrpcGate[] = [];

afterEach(async () => {
  for (const gate of gates.splice(0)) await gate.close();
});

async function open(parts: GateParts): Promise<GrpcGate> {
  const gate = await openGate(parts);
  gates.push(gate);
  return gate;
}

function call(gate: GrpcGate, path: string, key?: string) {
  return callRaw(gate, path, Buffer.alloc(0), key === undefined ? {} : { metadata: { 'idempotency-key': key } });
}

test.each([
  ['"k 1"', 'k 1'],
  ['k1', 'k1'],
])('metadata idempotency-key: %s is the key %s', async (sent, key) => {
  const keys: (string | null)[] = [];
  const handle: Handle = async ({ command, idempotencyKey }) => {
    keys.push(idempotencyKey);
    return answerWith(command, { id: 'g1' });
  };
  const gate = await open({ handle });
  await call(gate, GRIND, sent);
  await call(gate, GRIND);
  expect(keys).toEqual([key, null]);
});

test.each(['""', 'a, b', '"a", "b"', 'x'.repeat(256)])(
  'metadata idempotency-key: %s is refused by name',
  async (sent) => {
    const gate = await open({});
    const answered = await call(gate, GRIND, sent);
    expect(answered.status.code).toBe(status.INVALID_ARGUMENT);
    const { info, violations } = readDetails(answered);
    expect(info).toMatchObject({ reason: 'HEADER_INVALID', metadata: { delivery: 'not_sent' } });
    expect(violations[0]?.field).toBe('idempotency-key');
  },
);

test('a command that requires a key takes no call without one', async () => {
  const invocations: Invocation[] = [];
  const invoke = async (invocation: Invocation) => {
    invocations.push(invocation);
    return { kind: 'noted' as const, operationId: 'o' };
  };
  const gate = await open({ handle: createHandle(invoke, { maxHops: 8 }) });
  const refused = await call(gate, SELL);
  expect(refused.status.code).toBe(status.INVALID_ARGUMENT);
  expect(readDetails(refused).info?.reason).toBe('IDEMPOTENCY_KEY_REQUIRED');
  expect(invocations).toEqual([]);
  await call(gate, SELL, 'k');
  expect(invocations[0]?.idempotency).toMatchObject({ key: 'k', fingerprint: expect.objectContaining({ length: 32 }) });
});

test('a key that belongs to another request is FAILED_PRECONDITION', async () => {
  const gate = await open({ handle: failingHandle(new Failure('IDEMPOTENCY_KEY_REUSED', 'another payload')) });
  const answered = await call(gate, GRIND, 'k');
  expect([answered.status.code, answered.status.details]).toEqual([status.FAILED_PRECONDITION, 'another payload']);
});

test('a refusal of a call with a key says that an earlier one may have been carried out', async () => {
  const gate = await open({ handle: failingHandle(new Failure('OVERLOADED', 'full', { retryAfterMs: 1000 })) });
  const keyed = await call(gate, GRIND, 'k');
  expect(keyed.status.details).toMatch(/^full \(.*retry with the same key only\)$/);
  expect(readDetails(keyed)).toMatchObject({ info: { metadata: { delivery: 'not_sent' } }, retry: expect.anything() });
  expect((await call(gate, GRIND)).status.details).toBe('full');
});
