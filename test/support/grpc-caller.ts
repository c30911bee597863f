// A gRPC caller that knows a contract by its `.proto` files, as any client does.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, type Metadata, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { type CallOptions, callRaw, type Method, type ReadStatus, readDetails } from './grpc-gate.ts';

const VENDORED = fileURLToPath(new URL('../../proto', import.meta.url));
const OWN_FILES = ['google/longrunning/operations.proto', 'grpc/health/v1/health.proto', 'sluice/v1/operations.proto'];
const LOADING = { keepCase: false, longs: String, enums: String, defaults: false, oneofs: false } as const;

export type GrpcCallOptions = CallOptions;

export interface GrpcAnswer {
  /** Name of the status code. */
  readonly code: string;
  readonly message: string;
  /** Null where the call failed. */
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what a test looks at.
  readonly value: any;
  /** Initial metadata; null where none came before the status. */
  readonly headers: Metadata | null;
  readonly trailers: Metadata;
  /** `operations/{id}` in initial metadata: said while the call was still open. */
  readonly announced: string | null;
  /** The same in trailing metadata. */
  readonly operation: string | null;
  /** Of a failed call: what stands in `grpc-status-details-bin`. */
  readonly details: ReadStatus | null;
}

export class GrpcCaller {
  readonly #client: Client;
  readonly #sources: readonly string[];
  #methods: Map<string, Method> | null = null;

  /** @param sources folders of the contract */
  constructor(client: Client, sources: readonly string[]) {
    this.#client = client;
    this.#sources = sources;
  }

  /** Never rejects for a status. @param name `Do` of `calls.v1.Calls`, or `package.Service/Method` */
  call(name: string, request: object = {}, options: CallOptions = {}): Promise<GrpcAnswer> {
    const path = name.includes('/') ? `/${name}` : `/calls.v1.Calls/${name}`;
    const method = this.#method(path);
    return this.#call(path, method.requestSerialize(request), method, options);
  }

  /** The bytes as they are. */
  callWithBytes(name: string, bytes: Uint8Array, options: CallOptions = {}): Promise<GrpcAnswer> {
    const path = `/calls.v1.Calls/${name}`;
    return this.#call(path, bytes, this.#method(path), options);
  }

  async #call(path: string, bytes: Uint8Array, method: Method, options: CallOptions): Promise<GrpcAnswer> {
    const answered = await callRaw({ client: this.#client }, path, bytes, options);
    const { metadata: trailers, code, details: message } = answered.status;
    return {
      code: status[code] as string,
      message,
      value: answered.bytes === null ? null : method.responseDeserialize(answered.bytes),
      headers: answered.headers,
      trailers,
      announced: answered.headers === null ? null : readText(answered.headers, 'sluice-operation'),
      operation: readText(trailers, 'sluice-operation'),
      details: trailers.get('grpc-status-details-bin').length > 0 ? readDetails(answered) : null,
    };
  }

  /** `operations/{id}` until it is done. */
  waitOperation(name: string): Promise<GrpcAnswer> {
    return this.call('google.longrunning.Operations/WaitOperation', { name, timeout: { seconds: 20 } });
  }

  /** What an Any holds, as the type that the caller knows it to be. */
  readReply(any: { readonly value: Buffer }, method = 'Do'): object {
    return this.#method(`/calls.v1.Calls/${method}`).responseDeserialize(any.value);
  }

  #method(path: string): Method {
    this.#methods ??= loadMethods(this.#sources);
    const method = this.#methods.get(path);
    if (!method) throw new Error(`no method ${path}`);
    return method;
  }
}

function readText(metadata: Metadata, name: string): string | null {
  const [value] = metadata.get(name);
  return typeof value === 'string' ? value : null;
}

function loadMethods(sources: readonly string[]): Map<string, Method> {
  const files = [...sources.flatMap(listProtoFiles), ...OWN_FILES.filter((file) => existsSync(join(VENDORED, file)))];
  const definitions = loadSync(files, { ...LOADING, includeDirs: [...sources, VENDORED] });
  const methods = new Map<string, Method>();
  for (const definition of Object.values(definitions)) {
    if ('format' in definition) continue;
    for (const method of Object.values(definition)) methods.set(method.path, method as Method);
  }
  return methods;
}

function listProtoFiles(folder: string): string[] {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return paths.filter((path) => path.endsWith('.proto'));
}
