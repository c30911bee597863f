/**
 * One HTTP request as the routes see it: the raw target, headers by name, the body as bytes. Read from Node's own objects,
 * so that the hot path makes neither `Headers` nor `URL` nor a web stream; a `fetch` request does the same for tests.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { Failure } from '../../runtime/failure.ts';

export interface Incoming {
  readonly method: string;
  /** As sent, still percent-encoded; begins with a slash. */
  readonly path: string;
  /** What follows the `?`, without it. */
  readonly query: string;
  /** Whether the header says that a body follows; it may still be of no bytes. */
  readonly hasBody: boolean;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
  /** Address of the other end of the connection; null where there is none. */
  readonly peerAddress: string | null;
  /** `http://127.0.0.1:8080`: where the connection came in. */
  readonly localOrigin: string;
  /** By lower-case name; repeated fields joined by a comma. */
  header(name: string): string | null;
  /** Whether there are several fields of this lower-case name, as far as can be told. */
  isRepeated(name: string): boolean;
  /**
   * Once only. @throws Failure REQUEST_TOO_LARGE, before any byte is read where `Content-Length` says so; CALL_CANCELLED:
   * the caller went away in the middle.
   */
  readBody(maxBytes: number): Promise<Uint8Array>;
  /** Breaks the connection, whatever is still being sent. */
  cutOff(): void;
}

const NEVER = new AbortController().signal;

export class NodeIncoming implements Incoming {
  readonly path: string;
  readonly query: string;
  readonly #incoming: IncomingMessage;
  readonly #outgoing: ServerResponse;
  readonly #request: Request | null;

  /** @param request the web request of the same call, for its abort signal; null where no route will be asked. */
  constructor(incoming: IncomingMessage, outgoing: ServerResponse, request: Request | null) {
    const target = incoming.url ?? '/';
    const question = target.indexOf('?');
    this.path = question < 0 ? target : target.slice(0, question);
    this.query = question < 0 ? '' : target.slice(question + 1);
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.#request = request;
  }

  get method(): string {
    return this.#incoming.method ?? 'GET';
  }

  get hasBody(): boolean {
    const { headers } = this.#incoming;
    if (headers['transfer-encoding'] !== undefined) return true;
    return headers['content-length'] !== undefined && headers['content-length'] !== '0';
  }

  get signal(): AbortSignal {
    return this.#request?.signal ?? NEVER;
  }

  get peerAddress(): string | null {
    return this.#incoming.socket.remoteAddress ?? null;
  }

  get localOrigin(): string {
    const { localAddress = '127.0.0.1', localPort = 80 } = this.#incoming.socket;
    const address = localAddress.replace(/^::ffff:(?=[0-9.]+$)/, '');
    return `http://${address.includes(':') ? `[${address}]` : address}:${localPort}`;
  }

  header(name: string): string | null {
    const value = this.#incoming.headers[name];
    return typeof value === 'string' ? value : Array.isArray(value) ? value.join(', ') : null;
  }

  isRepeated(name: string): boolean {
    return (this.#incoming.headersDistinct[name]?.length ?? 0) > 1;
  }

  readBody(maxBytes: number): Promise<Uint8Array> {
    const declaredBytes = Number(this.#incoming.headers['content-length'] ?? 0);
    if (declaredBytes > maxBytes) return Promise.reject(bodyTooLarge(maxBytes));
    // A caller that asked first (`Expect: 100-continue`) is told to go on only now that all cheaper refusals are past.
    if (this.#incoming.headers.expect !== undefined) this.#outgoing.writeContinue();
    return collect(this.#incoming, maxBytes);
  }

  cutOff(): void {
    this.#outgoing.destroy();
  }
}

function collect(incoming: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    incoming.on('data', (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) {
        incoming.pause();
        reject(bodyTooLarge(maxBytes));
      } else chunks.push(chunk);
    });
    incoming.on('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    // Comes after `end` too, on every call; a failure is then not even made: its stack costs as much as reading a body.
    incoming.on('close', () => {
      if (!incoming.readableEnded) reject(callerGone());
    });
  });
}

/** For calls inside the process. */
export class FetchIncoming implements Incoming {
  readonly path: string;
  readonly query: string;
  readonly peerAddress = null;
  readonly localOrigin: string;
  readonly #request: Request;

  constructor(request: Request) {
    const url = new URL(request.url);
    this.path = url.pathname;
    this.query = url.search.slice(1);
    this.localOrigin = url.origin;
    this.#request = request;
  }

  get method(): string {
    return this.#request.method;
  }

  get hasBody(): boolean {
    return this.#request.body !== null;
  }

  get signal(): AbortSignal {
    return this.#request.signal;
  }

  header(name: string): string | null {
    return this.#request.headers.get(name);
  }

  isRepeated(): boolean {
    return false;
  }

  async readBody(maxBytes: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(await this.#request.arrayBuffer());
    if (bytes.length > maxBytes) throw bodyTooLarge(maxBytes);
    return bytes;
  }

  /** There is no connection. */
  cutOff(): void {}
}

/** Stands for a request of which nothing could be read. */
export const UNREAD: Incoming = Object.freeze({
  method: 'none',
  path: '/',
  query: '',
  hasBody: false,
  signal: NEVER,
  peerAddress: null,
  localOrigin: 'http://localhost',
  header: () => null,
  isRepeated: () => false,
  readBody: () => Promise.resolve(new Uint8Array()),
  cutOff: () => undefined,
});

function callerGone(): Failure {
  const detail = 'the caller went away before the body was complete';
  return new Failure('CALL_CANCELLED', detail, { delivery: 'not_sent' });
}

function bodyTooLarge(maxBytes: number): Failure {
  return new Failure('REQUEST_TOO_LARGE', `the body is over the limit of ${maxBytes} bytes`, {
    violations: [{ pointer: '#', detail: `expected at most ${maxBytes} bytes` }],
  });
}
