import { connect } from 'node:net';
import { afterAll } from 'vitest';
import type { Contract } from '../../src/contract/contract.ts';
import type { OperationResource } from '../../src/edge/call.ts';
import { createHandle } from '../../src/edge/handle.ts';
import {
  createRestServer,
  DEFAULT_REST_OPTIONS,
  type RestOptions,
  type RestServer,
} from '../../src/edge/rest/server.ts';
import type { Invocation, Outcome } from '../../src/operations/invocation.ts';
import type { HeaderText, Operation } from '../../src/operations/operation.ts';
import type { Reply } from '../../src/operations/reply.ts';
import type { ListRequest } from '../../src/operations/resource/list.ts';
import { Failure, type WorkerError } from '../../src/runtime/failure.ts';
import { IdSource } from '../../src/runtime/ids.ts';
import type { Logger } from '../../src/runtime/log.ts';
import { createMetrics, type Metrics } from '../../src/runtime/metrics.ts';
import { Only } from '../../src/runtime/only.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { loadProto } from './contract-support.ts';

const ORDERS = `
service Orders {
  rpc CreateOrder(CreateOrderRequest) returns (Order) {
    option (google.api.http) = { post: "/v1/orders" body: "*" };
    option (sluice.v1.command) = { max_wait: "30s" success_status: 201 reply_headers: "x-shelf" reply_headers: "set-cookie" forward_headers: "x-tenant" };
  }
  rpc GetOrder(GetOrderRequest) returns (Order) {
    option (google.api.http) = { get: "/v1/orders/{id}" additional_bindings { get: "/v1/orders/{id}:name" response_body: "customer_id" } };
  }
  rpc DeleteOrder(GetOrderRequest) returns (Order) {
    option (google.api.http) = { delete: "/v1/orders/{id}" };
  }
  rpc Judge(GetOrderRequest) returns (Order) {
    option (google.api.http) = { post: "/v1/judgements" body: "*" };
    option (sluice.v1.command) = { on_timeout: FAIL };
  }
  rpc Note(GetOrderRequest) returns (Order) {
    option (google.api.http) = { post: "/v1/notes" body: "*" };
    option (sluice.v1.command) = { style: NOTIFY };
  }
  rpc Restock(GetOrderRequest) returns (google.longrunning.Operation) {
    option (google.api.http) = { post: "/v1/restocks" body: "*" };
    option (google.longrunning.operation_info) = { response_type: "Order" metadata_type: "Order" };
  }
  rpc RestockNow(GetOrderRequest) returns (google.longrunning.Operation) {
    option (google.api.http) = { post: "/v1/restocks:now" body: "*" };
    option (google.longrunning.operation_info) = { response_type: "Order" metadata_type: "Order" };
    option (sluice.v1.command) = { on_timeout: FAIL };
  }
  rpc Pay(GetOrderRequest) returns (Order) {
    option (google.api.http) = { post: "/v1/payments" body: "*" };
    option (sluice.v1.command) = { idempotency_key: REQUIRED };
  }
  rpc Watch(GetOrderRequest) returns (stream Order) {
    option (google.api.http) = { get: "/v1/orders/{id}/watch" };
  }
}
message CreateOrderRequest {
  string customer_id = 1 [(google.api.field_behavior) = REQUIRED];
  int32 quantity = 2;
}
message GetOrderRequest { string id = 1; }
message Order { string id = 1; string customer_id = 2; }
`;

const servers: RestServer[] = [];

afterAll(async () => {
  for (const server of servers.splice(0)) await server.close(0);
});

let contract: Promise<Contract> | null = null;

function loadOrders(): Promise<Contract> {
  contract ??= loadProto(ORDERS);
  return contract;
}

export interface LogLine {
  readonly level: string;
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

export interface Rig {
  readonly server: RestServer;
  readonly clock: FakeClock;
  readonly invocations: Invocation[];
  readonly lists: ListRequest[];
  readonly lines: LogLine[];
  readonly metrics: Metrics;
  readonly operations: Map<string, Operation>;
  /** What a worker does with a command; by default it answers an order. */
  invoke: (invocation: Invocation) => Promise<Outcome>;
  /** How a long poll ends; by default at once. */
  wait: OperationResource['wait'];
  list: OperationResource['list'];
  cancel: OperationResource['cancel'];
  redrive: OperationResource['redrive'];
  readEvents: OperationResource['readEvents'];
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  post(path: string, body: string, headers?: Record<string, string>): Promise<Response>;
  send(method: string, path: string, headers?: Record<string, string>, body?: string): Promise<Response>;
}

/** The edge with the real contract and `handle` behind it, and a fake core behind those. In process until `listen`. */
export async function openRig(options: Partial<RestOptions> = {}): Promise<Rig> {
  const clock = new FakeClock();
  const operations = new Map<string, Operation>();
  const metrics = createMetrics();
  const lines: LogLine[] = [];
  const invocations: Invocation[] = [];
  const lists: ListRequest[] = [];
  const handle = createHandle(
    (invocation) => {
      invocations.push(invocation);
      return rig.invoke(invocation);
    },
    { maxHops: 8 },
  );
  const server = createRestServer(
    { ...DEFAULT_REST_OPTIONS, host: '127.0.0.1', port: 0, ...options },
    {
      contract: await loadOrders(),
      handle,
      operations: {
        get: async (id) => operations.get(id) ?? refuseUnknown(id),
        wait: (id, principal, wait) => rig.wait(id, principal, wait),
        list: (principal, query) => {
          lists.push(query);
          return rig.list(principal, query);
        },
        cancel: (id, principal) => rig.cancel(id, principal),
        redrive: (id, principal) => rig.redrive(id, principal),
        readEvents: (id, principal, afterNumber) => rig.readEvents(id, principal, afterNumber),
      },
      openapi: () => '{"openapi":"3.1.0"}',
      clock,
      logger: recordLines(lines),
      metrics,
      requestIds: new IdSource(() => clock.wallMs()),
    },
  );
  servers.push(server);
  const send: Rig['send'] = (method, path, headers = {}, body) =>
    server.fetch(
      new Request(`http://sluice.test${path}`, { method, headers, ...(body === undefined ? {} : { body }) }),
    );
  const rig: Rig = {
    server,
    clock,
    invocations,
    lists,
    lines,
    metrics,
    operations,
    invoke: async () => answered({ id: 'o1', customerId: 'c1' }),
    wait: async (id) => operations.get(id) ?? refuseUnknown(id),
    list: async () => ({ operations: [...operations.values()], nextPageToken: null }),
    cancel: async (id) => operations.get(id) ?? refuseUnknown(id),
    redrive: async (id) => operations.get(id) ?? refuseUnknown(id),
    readEvents: async () => [],
    get: (path, headers) => send('GET', path, headers),
    post: (path, body, headers) => send('POST', path, { 'content-type': 'application/json', ...headers }, body),
    send,
  };
  return rig;
}

function refuseUnknown(id: string): never {
  throw new Failure('OPERATION_NOT_FOUND', `there is no operation ${id}`);
}

function recordLines(lines: LogLine[]): Logger {
  const at = (level: string) => (fields: object, message: string) => {
    lines.push({ level, fields: fields as Record<string, unknown>, message });
  };
  const logger: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => logger,
  };
  return logger;
}

const POSITION = { topic: 'replies', partition: 0, offset: 0n };

export function answered(value: unknown, more: { httpStatus?: number; headers?: HeaderText } = {}): Outcome {
  const reply: Reply = {
    raw: { key: null, value: null, headers: [] },
    isRehomed: false,
    kind: 'result',
    correlation: { operationId: ID, homePartition: 0, unrecordedBy: 'boot' },
    position: POSITION,
    value: Buffer.from(JSON.stringify(value)),
    contentType: 'application/json',
    httpStatus: more.httpStatus ?? null,
    headers: more.headers ?? [],
    trailers: [],
    error: null,
    progress: null,
    sequence: null,
    timestampMs: 0,
  };
  return { kind: 'replies', operationId: ID, replies: new Only(reply) };
}

export function workerFailure(workerError: WorkerError): Failure {
  return new Failure('COMMAND_FAILED', workerError.message, { delivery: 'failed', workerError });
}

export const ID = '019aa2b4-0000-7000-8000-000000000001';
const AT_MS = Date.UTC(2026, 0, 1);

export function operation(more: Partial<Operation> = {}): Operation {
  return {
    id: ID,
    command: 'test.v1.Orders/CreateOrder',
    principal: '',
    state: 'running',
    version: 3,
    attempt: 1,
    createdAtMs: AT_MS,
    updatedAtMs: AT_MS + 1500,
    deadlineMs: AT_MS + 60_000,
    retainedUntilMs: null,
    progress: { percent: 40, message: 'packing' },
    result: null,
    error: null,
    ...more,
  };
}

export function succeeded(more: Partial<Operation> = {}): Operation {
  const value = Buffer.from('{"id":"o1","customer_id":"c1"}');
  const result = {
    value,
    contentType: 'application/json',
    httpStatus: null,
    headers: [['x-shelf', '7']] as HeaderText,
  };
  return operation({ state: 'succeeded', version: 4, retainedUntilMs: AT_MS + 86_400_000, result, ...more });
}

/** Bytes on a socket, and all that comes back until the server closes it or `until` is seen. */
export function talk(port: number, text: string | Buffer, until?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (until !== undefined && received.includes(until)) socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(received));
  });
}

export async function problemOf(response: Response): Promise<Record<string, unknown>> {
  return (await response.json()) as Record<string, unknown>;
}
