import { randomBytes, randomUUID } from 'node:crypto';
import { type Clock, systemClock } from './clock.ts';
import { type Codec, JSON_TYPE, jsonCodec } from './codec.ts';
import { methodToType, withNamespace } from './command.ts';
import type { CommandContext } from './context.ts';
import { CommandCallError, type ErrorCode, isErrorCode } from './errors.ts';
import { decodeText, encodeText, readTextHeader, replyPartitionHeaders } from './headers.ts';
import { IdSource } from './ids.ts';
import { jsonLogger, type Logger } from './log.ts';
import { type Inbox, type IncomingRecord, type OutgoingRecord, SendError, type WorkerTransport } from './transport.ts';

export interface CommandClientOptions {
  /** Closed by whoever made it. */
  readonly transport: WorkerTransport;
  /** Of the calling service: part of the reply topic's default name and of `ce_source`. */
  readonly name: string;
  readonly namespace?: string | undefined;
  /** Takes the namespace. Default: `worker-replies.<name>`. Instances of one service share it. */
  readonly replyTopic?: string;
  /** Topics by method, where they are not `<package>.<Service>.<Method>`. They take the namespace. */
  readonly topics?: Readonly<Record<string, string>>;
  /** Calls that wait for a reply; at the bound a call is refused with RESOURCE_EXHAUSTED. Default 1,000. */
  readonly maxPending?: number;
  /** Default of `call`. Default 30,000. */
  readonly timeoutMs?: number;
  readonly codec?: Codec;
  readonly logger?: Logger;
  readonly clock?: Clock;
}

/** What a call takes from the handler that makes it. Without deadline and signal it outlives the handler: an undo. */
export type CallContext = Pick<CommandContext, 'trace' | 'hops' | 'principal'> &
  Partial<Pick<CommandContext, 'deadlineMs' | 'signal'>>;

export interface CallOptions {
  readonly timeoutMs?: number;
  /** The handler on whose behalf the call is made: hands on its trace, its hops, its deadline and its signal. */
  readonly context?: CallContext;
  /** Commands of one key are run in order. Default: the id. */
  readonly key?: string;
  /**
   * `ce_id`: a second call with the same id has one effect, and the same answer. A handler that may run twice derives it
   * from its own operation id. Default: a new UUIDv7.
   */
  readonly id?: string;
  /** Takes the namespace. Default: as the client's `topics` say. */
  readonly topic?: string;
  readonly signal?: AbortSignal;
  /** Signs of life: `{percent, message}` as the other worker sent it. */
  readonly onProgress?: (progress: unknown) => void;
}

interface Pending {
  readonly method: string;
  readonly onProgress: ((progress: unknown) => void) | undefined;
  readonly settle: (outcome: { response: unknown } | { error: unknown }) => void;
}

/** Past this a call is refused: two services that call each other for ever would never stop. */
const MAX_HOPS = 8;

/** Calls commands of other services over the bus, as the gateway does: a record there, correlated replies back. */
export class CommandClient {
  readonly #options: CommandClientOptions;
  readonly #clock: Clock;
  readonly #codec: Codec;
  readonly #logger: Logger;
  readonly #ids: IdSource;
  readonly #replyTopic: string;
  /** By correlation id; bounded by `maxPending`, each entry by its deadline. */
  readonly #pending = new Map<string, Pending>();
  #inbox: Inbox | null = null;

  constructor(options: CommandClientOptions) {
    if (!options.name) throw new TypeError('name: expected the name of the calling service');
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#ids = new IdSource(this.#clock);
    this.#codec = options.codec ?? jsonCodec;
    this.#logger = options.logger ?? jsonLogger({ client: options.name });
    this.#replyTopic = withNamespace(options.namespace, options.replyTopic ?? `worker-replies.${options.name}`);
  }

  /** Resolves when replies can arrive. */
  async start(): Promise<void> {
    const { transport, namespace, name } = this.#options;
    await transport.ensureTopics?.([this.#replyTopic]);
    this.#inbox = await transport.openInbox({
      topic: this.#replyTopic,
      group: withNamespace(namespace, `${name}.replies.${randomBytes(6).toString('hex')}`),
      onRecords: (records) => {
        for (const record of records) this.#receive(record);
      },
    });
  }

  /** Fails what waits, with `unknown`, and stops reading. */
  async close(): Promise<void> {
    const reason = { code: 'UNAVAILABLE' as const, message: 'the client was closed' };
    for (const { method, settle } of this.#pending.values())
      settle({ error: new CommandCallError(method, 'unknown', reason) });
    await this.#inbox?.close();
    this.#inbox = null;
  }

  /**
   * Sends the command `package.Service/Method` and resolves with its result.
   * @throws CommandCallError with the other worker's code (delivery `failed`), DEADLINE_EXCEEDED (`unknown`), or what
   *   kept it from being sent; the signal's reason when a signal fires
   */
  async call<Response = unknown>(method: string, request: unknown, options: CallOptions = {}): Promise<Response> {
    const inbox = this.#admit(method, options);
    const id = options.id ?? this.#ids.next();
    const correlationId = `${randomUUID()}.w`;
    const deadlineMs = this.#deadlineOf(options);
    const record = this.#compose({ method, request, options, inbox, id, correlationId, deadlineMs });
    const answer = this.#await<Response>(method, correlationId, deadlineMs, options);
    this.#options.transport.send([record]).catch((error) => this.#fail(correlationId, error));
    return answer;
  }

  #admit(method: string, options: CallOptions): Inbox {
    const refuse = (code: ErrorCode, message: string) => new CommandCallError(method, 'not_sent', { code, message });
    if (this.#inbox === null) throw refuse('UNAVAILABLE', 'the client is not started');
    if (this.#pending.size >= (this.#options.maxPending ?? 1_000))
      throw refuse('RESOURCE_EXHAUSTED', 'too many calls wait');
    if ((options.context?.hops ?? 0) >= MAX_HOPS)
      throw refuse('FAILED_PRECONDITION', `more than ${MAX_HOPS} hops: a call loop`);
    return this.#inbox;
  }

  #deadlineOf(options: CallOptions): number {
    const own = this.#clock.nowMs() + (options.timeoutMs ?? this.#options.timeoutMs ?? 30_000);
    return Math.min(own, options.context?.deadlineMs ?? Number.POSITIVE_INFINITY);
  }

  #compose(call: {
    method: string;
    request: unknown;
    options: CallOptions;
    inbox: Inbox;
    id: string;
    correlationId: string;
    deadlineMs: number;
  }): OutgoingRecord {
    const { method, options, inbox } = call;
    const { contentType, value } = this.#codec.encodeRequest(method, call.request);
    const type = methodToType(method);
    const text: [string, string | null | undefined][] = [
      ['ce_specversion', '1.0'],
      ['ce_id', call.id],
      ['ce_source', `sluice://${this.#options.namespace ?? ''}/worker/${this.#options.name}`],
      ['ce_type', type],
      ['ce_time', new Date(this.#clock.nowMs()).toISOString()],
      ['ce_expirytime', new Date(call.deadlineMs).toISOString()],
      ['content-type', contentType],
      ['kafka_correlationId', call.correlationId],
      ['kafka_replyTopic', inbox.topic],
      ['traceparent', options.context?.trace.traceparent],
      ['tracestate', options.context?.trace.tracestate],
      ['sluice-attempt', '1'],
      ['sluice-hops', String((options.context?.hops ?? 0) + 1)],
      ['sluice-principal', options.context?.principal],
    ];
    const headers = text.flatMap(([name, value]) => (value ? [[name, encodeText(value)] as const] : []));
    return {
      topic: withNamespace(this.#options.namespace, options.topic ?? this.#options.topics?.[method] ?? type),
      key: encodeText(options.key ?? call.id),
      value,
      headers: inbox.partition === null ? headers : [...headers, ...replyPartitionHeaders(inbox.partition)],
    };
  }

  #await<Response>(method: string, correlationId: string, deadlineMs: number, options: CallOptions): Promise<Response> {
    const signals = [options.signal, options.context?.signal].filter((signal) => signal !== undefined);
    return new Promise((resolve, reject) => {
      const onAbort = () => settle({ error: signals.find((signal) => signal.aborted)?.reason });
      const settle: Pending['settle'] = (outcome) => {
        if (!this.#pending.delete(correlationId)) return;
        cancelTimer();
        for (const signal of signals) signal.removeEventListener('abort', onAbort);
        if ('error' in outcome) reject(outcome.error);
        else resolve(outcome.response as Response);
      };
      const late = { code: 'DEADLINE_EXCEEDED' as const, message: `no reply from ${method} in time` };
      const onLate = () => settle({ error: new CommandCallError(method, 'unknown', late) });
      const cancelTimer = this.#clock.setTimer(onLate, deadlineMs - this.#clock.nowMs());
      this.#pending.set(correlationId, { method, onProgress: options.onProgress, settle });
      for (const signal of signals) signal.addEventListener('abort', onAbort, { once: true });
      if (signals.some((signal) => signal.aborted)) onAbort();
    });
  }

  #fail(correlationId: string, error: unknown): void {
    const pending = this.#pending.get(correlationId);
    if (pending === undefined) return;
    const delivery = error instanceof SendError && !error.maybeSent ? 'not_sent' : 'unknown';
    const message = `${pending.method} could not be sent: ${(error as Error).message}`;
    pending.settle({ error: new CommandCallError(pending.method, delivery, { code: 'UNAVAILABLE', message }) });
  }

  /** Other instances' replies may come by the same partition: what is not ours is passed over. */
  #receive(record: IncomingRecord): void {
    const correlationId = readTextHeader(record.headers, 'kafka_correlationId');
    const pending = correlationId === null ? undefined : this.#pending.get(correlationId);
    if (pending === undefined) return;
    const kind = readTextHeader(record.headers, 'sluice-kind') ?? 'result';
    try {
      if (kind === 'progress') pending.onProgress?.(JSON.parse(decodeText(record.value ?? encodeText('{}'))));
      else if (kind === 'error') pending.settle({ error: readError(pending.method, record) });
      else if (kind === 'result') pending.settle({ response: this.#decode(pending.method, record) });
    } catch (error) {
      this.#logger.warn({ error, method: pending.method, kind }, 'unreadable reply');
      if (kind === 'result') pending.settle({ error: unreadable(pending.method) });
    }
  }

  #decode(method: string, record: IncomingRecord): unknown {
    const contentType = readTextHeader(record.headers, 'content-type') ?? JSON_TYPE;
    return this.#codec.decodeResponse(method, { contentType, value: record.value });
  }
}

function unreadable(method: string): CommandCallError {
  return new CommandCallError(method, 'unknown', {
    code: 'INTERNAL',
    message: `${method} sent a reply that cannot be read`,
  });
}

/** The code's header is the truth; the value may be of another system, or not JSON. */
function readError(method: string, record: IncomingRecord): CommandCallError {
  const value = readObject(record.value);
  const code = readTextHeader(record.headers, 'sluice-code') ?? value['code'];
  const message = value['message'] ?? value['detail'] ?? value['title'];
  return new CommandCallError(method, 'failed', {
    code: isErrorCode(code) ? code : 'UNKNOWN',
    message: typeof message === 'string' ? message : `${method} failed`,
    details: Array.isArray(value['details']) ? value['details'] : undefined,
  });
}

function readObject(value: Uint8Array | null): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(decodeText(value ?? new Uint8Array()));
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
