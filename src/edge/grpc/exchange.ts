import { Metadata, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import { statusType } from '../../contract/own-messages.ts';
import type { HeaderText } from '../../operations/operation.ts';
import type { Clock } from '../../runtime/clock.ts';
import { Failure, GRPC_CODE } from '../../runtime/failure.ts';
import { chooseRequestId, hideDefect } from '../call-head.ts';
import type { CallLog } from '../call-log.ts';
import { IDEMPOTENCY_KEY } from '../idempotency-key.ts';
import { readTrace, type Trace } from '../trace.ts';
import { patienceMs } from './deadline.ts';
import { checkLimits, type Entries, OPERATION_KEY, operationName, readText, setReplyHeaders } from './metadata.ts';
import type { GrpcOptions } from './options.ts';
import { codeNameOf, statusOf, troubleOf } from './status.ts';

export type RawCall = ServerUnaryCall<Buffer, Buffer>;
export type Respond = sendUnaryData<Buffer>;

export interface ExchangeDeps {
  readonly clock: Clock;
  readonly callLog: CallLog;
  readonly requestIds: { next(): string };
  readonly options: GrpcOptions;
}

/**
 * One unary call on the wire: its metadata, its deadline, its caller's going away, and exactly one end, which is logged.
 * Trailing metadata always names the request and the trace.
 */
export class Exchange {
  /** `orders.v1.Orders/CreateOrder`: the label of log and metrics. */
  readonly name: string;
  readonly requestId: string;
  readonly trace: Trace;
  /** Monotonic; null where the caller set no deadline. */
  readonly waitUntilMs: number | null;
  readonly #deps: ExchangeDeps;
  readonly #raw: RawCall;
  readonly #respond: Respond;
  readonly #entries: Entries;
  readonly #startedMs: number;
  /** Made when it is first asked for: most of grpc-js's own services never do. */
  #controller: AbortController | null = null;
  /** Invariant: set before the answer is handed to grpc-js, which says `cancelled` after every answer too. */
  #ended = false;
  #left = false;
  #announced = false;

  constructor(name: string, raw: RawCall, respond: Respond, deps: ExchangeDeps) {
    this.name = name;
    this.#raw = raw;
    this.#respond = respond;
    this.#deps = deps;
    this.#startedMs = deps.clock.monotonicMs();
    const patience = patienceMs(raw.getDeadline());
    this.waitUntilMs = patience === null ? null : this.#startedMs + patience;
    this.#entries = raw.metadata.getMap();
    this.requestId = chooseRequestId(this.header('x-request-id'), deps.requestIds);
    this.trace = readTrace(this.header('traceparent'), this.header('tracestate'));
    raw.on('cancelled', () => this.#leave());
  }

  get requestBytes(): Buffer {
    return this.#raw.request;
  }

  /** Text metadata by lower-case name. */
  header(name: string): string | null {
    return readText(this.#entries, name);
  }

  /** @throws Failure HEADERS_TOO_LARGE */
  checkLimits(): void {
    checkLimits(this.#entries, this.#deps.options);
  }

  /** Aborts when the caller goes away, not when its deadline passes. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#left) this.#controller.abort();
    return this.#controller.signal;
  }

  /** Names the operation in initial metadata at once: a caller that loses the connection can still follow it. */
  announce(operationId: string): void {
    if (this.#ended || this.#announced) return;
    this.#announced = true;
    const metadata = new Metadata();
    metadata.set(OPERATION_KEY, operationName(operationId));
    this.#raw.sendMetadata(metadata);
  }

  /** @throws Failure RESULT_TOO_LARGE, and then the call is still open. */
  succeed(bytes: Buffer, outcome: string, extra: AnswerExtra = NOTHING_EXTRA): void {
    const { maxResultBytes } = this.#deps.options;
    if (bytes.length > maxResultBytes) {
      const detail = `the result has ${bytes.length} bytes, at most ${maxResultBytes}`;
      throw new Failure('RESULT_TOO_LARGE', detail, { delivery: 'unknown' });
    }
    if (this.#ended) return;
    const trailing = this.#trailing(extra.operationId, extra.trailers);
    this.#sendHeaders(extra.headers, trailing);
    this.#end(GRPC_CODE.OK, outcome, null, extra.operationId, bytes.length);
    this.#respond(null, bytes, trailing);
  }

  /** @param concernsCommand whether the request is a call of a command. */
  refuse(error: unknown, concernsCommand: boolean): void {
    if (this.#ended) return;
    const hasKey = concernsCommand && this.header(IDEMPOTENCY_KEY) !== null;
    const of = { command: this.name, requestId: this.requestId, hasKey };
    const failure = hideDefect(error, this.#deps.callLog, of);
    const { operationId } = failure;
    const trouble = troubleOf(failure, this.requestId, concernsCommand);
    const status = statusOf(trouble);
    const trailing = this.#trailing(operationId, []);
    trailing.set('grpc-status-details-bin', statusType.encode(status));
    const goesOn = failure.code === 'WAIT_EXPIRED' && operationId !== null;
    this.#end(status.code, goesOn ? 'ACCEPTED' : failure.code, trouble.delivery, operationId, 0);
    this.#respond({ code: status.code, details: status.message, metadata: trailing });
  }

  /** Headers of a worker go ahead where initial metadata has not left yet, else behind. */
  #sendHeaders(headers: HeaderText, trailing: Metadata): void {
    if (headers.length === 0) return;
    if (this.#announced) {
      setReplyHeaders(trailing, headers);
      return;
    }
    const metadata = new Metadata();
    setReplyHeaders(metadata, headers);
    this.#raw.sendMetadata(metadata);
  }

  #trailing(operationId: string | null, trailers: HeaderText): Metadata {
    const metadata = new Metadata();
    if (trailers.length > 0) setReplyHeaders(metadata, trailers);
    metadata.set('x-request-id', this.requestId);
    metadata.set('traceparent', this.trace.traceparent);
    if (operationId !== null) metadata.set(OPERATION_KEY, operationName(operationId));
    return metadata;
  }

  /**
   * grpc-js says `cancelled` for a caller that left, for a deadline and after an answer. Past the end of the wait it is
   * the deadline: the caller's own timer and ours differ by the way between them.
   */
  #leave(): void {
    if (this.#ended) return;
    if (this.waitUntilMs !== null && this.#deps.clock.monotonicMs() >= this.waitUntilMs) return;
    this.#left = true;
    this.#controller?.abort();
  }

  /** Where the caller has left nobody sees the answer, whatever it is. */
  #end(status: number, outcome: string, delivery: string | null, operationId: string | null, sizeBytes: number): void {
    this.#ended = true;
    const { callLog } = this.#deps;
    callLog.record({
      edge: 'grpc',
      command: this.name,
      method: null,
      route: null,
      status: codeNameOf(this.#left ? GRPC_CODE.CANCELLED : status),
      outcome: this.#left ? 'CALL_CANCELLED' : outcome,
      delivery,
      durationMs: callLog.since(this.#startedMs),
      requestId: this.requestId,
      operationId,
      sizeBytes,
    });
  }
}

export interface AnswerExtra {
  readonly headers: HeaderText;
  readonly trailers: HeaderText;
  readonly operationId: string | null;
}

export const NOTHING_EXTRA: AnswerExtra = Object.freeze({ headers: [], trailers: [], operationId: null });
