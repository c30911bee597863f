import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { OperationResource } from '../../src/edge/call.ts';
import { FAILURES, Failure, type FailureCode } from '../../src/runtime/failure.ts';
import { callRaw, type GrpcGate, loadMethods, openGate, readDetails } from '../support/grpc-gate.ts';
import { ID, openRig, problemOf, type Rig } from './rest-support.ts';

const SERVICE = '/google.longrunning.Operations';
const CODES = Object.keys(FAILURES) as FailureCode[];

/** What either edge says of one failure: its code, and what became of the command; undefined where it does not say. */
interface Said {
  readonly code: unknown;
  readonly delivery: unknown;
}

interface Twin {
  readonly method: string;
  readonly overRest: (rig: Rig) => Promise<Response>;
  readonly request: object;
}

const TWINS: readonly Twin[] = [
  {
    method: 'WaitOperation',
    overRest: (rig) => rig.get(`/operations/${ID}`, { prefer: 'wait=1' }),
    request: { name: `operations/${ID}` },
  },
  {
    method: 'CancelOperation',
    overRest: (rig) => rig.send('POST', `/operations/${ID}:cancel`),
    request: { name: `operations/${ID}` },
  },
  { method: 'ListOperations', overRest: (rig) => rig.get('/operations'), request: {} },
];

let rig: Rig;
let gate: GrpcGate;
let methods: ReturnType<typeof loadMethods>;
let failure = new Failure('INTERNAL', 'set by each test');

beforeAll(async () => {
  const fail = () => Promise.reject(failure);
  const failing: Partial<OperationResource> = { wait: fail, cancel: fail, list: fail };
  rig = Object.assign(await openRig(), failing);
  gate = await openGate({ operations: { ...failing, get: fail } });
  methods = loadMethods(gate.folder);
});

afterAll(() => gate.close());

async function saidOverRest(response: Promise<Response>): Promise<Said> {
  const { code, delivery } = await problemOf(await response);
  return { code, delivery };
}

async function saidOverGrpc(method: string, request: object): Promise<Said> {
  const path = `${SERVICE}/${method}`;
  const bytes = methods.get(path)!.requestSerialize(request);
  const { info } = readDetails(await callRaw(gate, path, bytes));
  return { code: info?.reason, delivery: info?.metadata['delivery'] };
}

describe.each(TWINS)('$method and its REST twin say the same of', ({ method, overRest, request }) => {
  test.each(CODES)('%s, whether an operation is named or not', async (code) => {
    for (const operationId of [undefined, ID]) {
      failure = new Failure(code, 'as the core threw it', operationId === undefined ? {} : { operationId });
      const rest = await saidOverRest(overRest(rig));
      expect(rest.code).toBe(code);
      expect(await saidOverGrpc(method, request)).toEqual(rest);
    }
  });
});

test('what is refused for what it is has sent nothing, and what says nothing of the command is silent on it', async () => {
  const said = async (code: FailureCode) => {
    failure = new Failure(code, 'as the core threw it');
    return (await saidOverGrpc('GetOperation', { name: `operations/${ID}` })).delivery;
  };
  expect(await said('OPERATION_NOT_FOUND')).toBe('not_sent');
  expect(await said('OPERATION_GONE')).toBeUndefined();
  expect(await said('STORE_UNAVAILABLE')).toBeUndefined();
});

test('a name, a filter or a method that is refused has sent nothing over either edge', async () => {
  const refused = [
    [rig.get('/operations/x'), await saidOverGrpc('GetOperation', { name: 'shelves/1' })],
    [rig.get('/operations?state=done'), await saidOverGrpc('ListOperations', { filter: 'colour = red' })],
    [rig.send('DELETE', `/operations/${ID}`), await saidOverGrpc('DeleteOperation', { name: `operations/${ID}` })],
  ] as const;
  for (const [overRest, overGrpc] of refused) {
    expect(await saidOverRest(overRest)).toMatchObject({ delivery: 'not_sent' });
    expect(overGrpc).toMatchObject({ delivery: 'not_sent' });
  }
});
