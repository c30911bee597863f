// The gRPC edge alone: a contract, a handle that a test gives, and real clients over loopback.
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, credentials, Metadata, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { type AnyDefinition, loadSync } from '@grpc/proto-loader';
import type { Command, ContractMessage } from '../../src/contract/command.ts';
import { type Contract, loadContract } from '../../src/contract/contract.ts';
import {
  badRequestType,
  errorInfoType,
  retryInfoType,
  type StatusMessage,
  statusType,
} from '../../src/contract/own-messages.ts';
import type { Answer, Call, Handle, OperationResource } from '../../src/edge/call.ts';
import { GRPC_DEFAULTS, type GrpcOptions } from '../../src/edge/grpc/options.ts';
import { createGrpcServer, type GrpcServer } from '../../src/edge/grpc/server.ts';
import type { Operation } from '../../src/operations/operation.ts';
import { type Clock, systemClock } from '../../src/runtime/clock.ts';
import { type Logger, silentLogger } from '../../src/runtime/log.ts';
import { createMetrics, type Metrics } from '../../src/runtime/metrics.ts';
import { Only } from '../../src/runtime/only.ts';

const VENDORED = fileURLToPath(new URL('../../proto', import.meta.url));

/** Two files, so that the service's messages come over an import. */
const FILES: Readonly<Record<string, string>> = {
  'mill/v1/grain.proto': `
syntax = "proto3";
package mill.v1;
enum Grade { GRADE_UNSPECIFIED = 0; COARSE = 1; }
message Grain {
  string id = 1;
  int32 weight = 2;
  Kind kind = 3;
  enum Kind { KIND_UNSPECIFIED = 0; RYE = 1; }
  message Origin { string field_name = 1; }
}
`,
  'mill/v1/mill.proto': `
syntax = "proto3";
package mill.v1;
import "buf/validate/validate.proto";
import "google/longrunning/operations.proto";
import "google/protobuf/descriptor.proto";
import "mill/v1/grain.proto";
import "sluice/v1/options.proto";
extend google.protobuf.FieldOptions { string unit = 50042; }
message GrindRequest {
  string id = 1;
  repeated Grain grains = 2;
  string name = 3 [(buf.validate.field).string.max_len = 5];
  int32 weight = 4 [(mill.v1.unit) = "kg"];
}
service Mill {
  rpc Grind(GrindRequest) returns (Grain);
  rpc Sell(GrindRequest) returns (Grain) {
    option (sluice.v1.command) = { idempotency_key: REQUIRED };
  }
  rpc GrindLong(GrindRequest) returns (google.longrunning.Operation) {
    option (google.longrunning.operation_info) = { response_type: "Grain" metadata_type: "sluice.v1.OperationMetadata" };
  }
  rpc Pour(GrindRequest) returns (stream Grain);
  rpc Fill(stream GrindRequest) returns (Grain);
  rpc Run(stream GrindRequest) returns (stream Grain);
}
`,
};

export interface GrpcGate {
  readonly port: number;
  readonly contract: Contract;
  readonly server: GrpcServer;
  readonly metrics: Metrics;
  readonly client: Client;
  /** Folder of the contract's files. */
  readonly folder: string;
  close(): Promise<void>;
}

export interface GateParts {
  readonly handle?: Handle;
  readonly operations?: Partial<OperationResource>;
  readonly options?: Partial<GrpcOptions>;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

let loaded: Promise<{ contract: Contract; folder: string }> | null = null;

/** Compiled once a test file. */
function loadMill(): Promise<{ contract: Contract; folder: string }> {
  loaded ??= loadFiles();
  return loaded;
}

async function loadFiles(): Promise<{ contract: Contract; folder: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-grpc-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(FILES)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  return { contract: await loadContract({ sources: [folder] }), folder };
}

export async function openGate(parts: GateParts = {}): Promise<GrpcGate> {
  const { contract, folder } = await loadMill();
  const metrics = createMetrics();
  let requests = 0;
  const server = createGrpcServer(
    { ...GRPC_DEFAULTS, port: 0, ...parts.options },
    {
      contract,
      handle: parts.handle ?? (async (call) => answerWith(call.command, { id: 'g1', weight: 7 })),
      operations: {
        get: unasked,
        wait: unasked,
        list: unasked,
        cancel: unasked,
        redrive: unasked,
        readEvents: unasked,
        ...parts.operations,
      },
      clock: parts.clock ?? systemClock,
      logger: parts.logger ?? silentLogger,
      metrics,
      requestIds: { next: () => `request-${++requests}` },
    },
  );
  const { port } = await server.listen();
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  return {
    port,
    contract,
    server,
    metrics,
    client,
    folder,
    async close() {
      client.close();
      await server.close(0);
    },
  };
}

function unasked(): never {
  throw new Error('not asked for in this test');
}

/** Takes what the caller sent, as the real handle does. */
export async function takeRequest(call: Call): Promise<ContractMessage> {
  for await (const request of call.requests) return request;
  throw new Error('no request');
}

export function answerWith(command: Command, json: object, extra: Partial<Answer & { kind: 'messages' }> = {}): Answer {
  const message = command.codec.replyFromWire(Buffer.from(JSON.stringify(json)), 'application/json');
  return {
    kind: 'messages',
    httpStatus: 200,
    headers: [],
    trailers: [],
    messages: new Only(message),
    operationId: null,
    ...extra,
  };
}

export function makeOperation(change: Partial<Operation> = {}): Operation {
  return {
    id: '019a0000-0000-7000-8000-000000000001',
    command: 'mill.v1.Mill/Grind',
    principal: '',
    state: 'running',
    version: 2,
    attempt: 1,
    createdAtMs: 1_700_000_000_123,
    updatedAtMs: 1_700_000_001_000,
    deadlineMs: 1_700_000_060_000,
    retainedUntilMs: null,
    progress: null,
    result: null,
    error: null,
    ...change,
  };
}

// ---- the caller's side -----------------------------------------------------------------------------------------------

export interface Answered {
  /** Null where the call failed. */
  readonly bytes: Buffer | null;
  readonly error: ServiceError | null;
  /** Initial metadata; null where there was none before the status. */
  readonly headers: Metadata | null;
  readonly status: StatusObject;
}

export interface CallOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly onHeaders?: (headers: Metadata) => void;
  readonly signal?: AbortSignal;
}

/** One unary call with the bytes as they are. Never rejects. */
export function callRaw(
  gate: Pick<GrpcGate, 'client'>,
  path: string,
  request: Uint8Array,
  options: CallOptions = {},
): Promise<Answered> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(options.metadata ?? {})) metadata.set(name, value);
  return new Promise((resolve) => {
    let headers: Metadata | null = null;
    let outcome: { bytes: Buffer | null; error: ServiceError | null } | null = null;
    let status: StatusObject | null = null;
    const settle = () => outcome && status && resolve({ ...outcome, headers, status });
    const call = gate.client.makeUnaryRequest(
      path,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer) => bytes,
      request,
      metadata,
      options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs },
      (error, bytes) => {
        outcome = { bytes: error ? null : (bytes ?? null), error };
        settle();
      },
    );
    options.signal?.addEventListener('abort', () => call.cancel());
    call.on('metadata', (received: Metadata) => {
      headers = received;
      options.onHeaders?.(received);
    });
    call.on('status', (received: StatusObject) => {
      status = received;
      settle();
    });
  });
}

/** Methods of the contract and of Sluice by path, as proto-loader reads the `.proto` files. */
export function loadMethods(folder: string): Map<string, Method> {
  const definitions = loadSync(
    ['mill/v1/mill.proto', 'google/longrunning/operations.proto', 'grpc/health/v1/health.proto'],
    { includeDirs: [folder, VENDORED], keepCase: false, longs: String, enums: String, defaults: false, oneofs: true },
  );
  const methods = new Map<string, Method>();
  for (const definition of Object.values(definitions)) {
    if (!isService(definition)) continue;
    for (const method of Object.values(definition)) methods.set(method.path, method);
  }
  return methods;
}

export interface Method {
  readonly path: string;
  requestSerialize(value: object): Buffer;
  // biome-ignore lint/suspicious/noExplicitAny: proto-loader's messages are made at run time.
  responseDeserialize(bytes: Buffer): any;
}

function isService(definition: AnyDefinition): definition is Extract<AnyDefinition, Record<string, { path: string }>> {
  return !('format' in definition);
}

/** A call by path with plain objects. `value` is null where it failed. */
export async function callMethod(gate: GrpcGate, path: string, request: object, options: CallOptions = {}) {
  const method = loadMethods(gate.folder).get(path);
  if (!method) throw new Error(`no method ${path}`);
  const answered = await callRaw(gate, path, method.requestSerialize(request), options);
  return { ...answered, value: answered.bytes === null ? null : method.responseDeserialize(answered.bytes) };
}

export interface ReadStatus {
  readonly status: StatusMessage;
  readonly info: { readonly domain: string; readonly reason: string; readonly metadata: Record<string, string> } | null;
  readonly retry: unknown;
  readonly violations: readonly { readonly field: string; readonly description: string }[];
  readonly typeUrls: readonly string[];
}

/** `grpc-status-details-bin` of a failed call. */
export function readDetails({ status }: Answered): ReadStatus {
  const [bytes] = status.metadata.get('grpc-status-details-bin');
  if (!Buffer.isBuffer(bytes)) throw new Error(`no details: ${status.code} ${status.details}`);
  const read = statusType.decode(bytes);
  const find = (name: string) => read.details.find(({ typeUrl }) => typeUrl === `type.googleapis.com/${name}`)?.value;
  const info = find(errorInfoType.name);
  const bad = find(badRequestType.name);
  const retry = find(retryInfoType.name);
  return {
    status: read,
    info: info ? errorInfoType.decode(info) : null,
    retry: retry ? retryInfoType.decode(retry) : null,
    violations: bad ? badRequestType.decode(bad).fieldViolations : [],
    typeUrls: read.details.map(({ typeUrl }) => typeUrl),
  };
}

export function failingHandle(failure: unknown): Handle {
  return async () => {
    throw failure;
  };
}
