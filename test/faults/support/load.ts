// Callers under whose load things are broken: many at once, of every style, through all gateways in turn, each with the
// patience to ask again with the same key until it has been answered.
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Answer, Call, CallStyle } from './calls.ts';
import type { GatewayProcess } from './gateway-process.ts';
import { GrpcClients } from './grpc-calls.ts';
import { RestClient, readAnswer } from './rest-calls.ts';
import { routeOf } from './routes.ts';

export interface LoadPlan {
  readonly gateways: readonly GatewayProcess[];
  /** Methods of `faults.v1.Work`, in turn. */
  readonly methods: readonly string[];
  readonly inFlight: number;
  /** At the most. */
  readonly callsPerSecond: number;
  readonly styles?: readonly CallStyle[];
  /** How many of a hundred carry an Idempotency-Key. */
  readonly keyedPercent?: number;
  /** How long a worker takes, at the most. */
  readonly maxWorkMs?: number;
  /** How long a caller goes on asking; then it gives up. */
  readonly patienceMs?: number;
  /** No answer in this time is none. Longer than any wait that is asked for. */
  readonly answerTimeoutMs?: number;
  /** Then no more are begun. */
  readonly maxCalls?: number;
  /** More of the request, by the number of the call. */
  readonly extra?: (number: number) => object;
}

const BACKOFF_MS = 100;
const PATIENCE_MS = 45_000;
const GRPC_TIMEOUT_MS = 4_000;
const ALL_STYLES: readonly CallStyle[] = ['plain', 'wait', 'async', 'grpc', 'plain', 'async'];
export class Load {
  readonly calls: Call[] = [];
  readonly #plan: Required<LoadPlan>;
  readonly #rest = new RestClient();
  readonly #grpc = new GrpcClients();
  readonly #name = randomBytes(3).toString('hex');
  #stopped = false;
  #patienceMs: number;
  #nextSlotMs = 0;
  #running: Promise<unknown> = Promise.resolve();

  constructor(plan: LoadPlan) {
    this.#patienceMs = plan.patienceMs ?? PATIENCE_MS;
    this.#plan = {
      styles: ALL_STYLES,
      keyedPercent: 50,
      maxWorkMs: 40,
      patienceMs: PATIENCE_MS,
      answerTimeoutMs: 20_000,
      maxCalls: Number.POSITIVE_INFINITY,
      extra: () => ({}),
      ...plan,
    };
  }

  start(): void {
    this.#nextSlotMs = performance.now();
    this.#running = Promise.all(Array.from({ length: this.#plan.inFlight }, () => this.#callUntilStopped()));
  }

  /** Resolves when the calls that have begun have ended, each in its own patience or in less. May be called again. */
  async stop(patienceMs = Number.POSITIVE_INFINITY): Promise<void> {
    this.#stopped = true;
    this.#patienceMs = Math.min(this.#patienceMs, patienceMs);
    await this.#running;
    this.#rest.close();
    this.#grpc.close();
  }

  /** Resolves when all of `maxCalls` have ended. */
  async made(): Promise<void> {
    await this.#running;
  }

  async #callUntilStopped(): Promise<void> {
    while (!this.#stopped && this.calls.length < this.#plan.maxCalls) await this.#callNext();
  }

  async #callNext(): Promise<void> {
    const slotMs = this.#nextSlotMs;
    this.#nextSlotMs = Math.max(slotMs, performance.now() - 1_000) + 1_000 / this.#plan.callsPerSecond;
    if (slotMs > performance.now()) await pause(slotMs - performance.now());
    if (!this.#stopped && this.calls.length < this.#plan.maxCalls) await this.#call(this.#makeCall(this.calls.length));
  }

  #makeCall(number: number): Call {
    const { methods, styles, keyedPercent } = this.#plan;
    const name = `${this.#name}-${number}`;
    const call: Call = {
      name,
      method: methods[number % methods.length]!,
      style: styles[Math.floor(number / methods.length) % styles.length]!,
      key: (number * 37) % 100 < keyedPercent ? `key-${name}` : null,
      tries: [],
      ended: null,
    };
    this.calls.push(call);
    return call;
  }

  async #call(call: Call): Promise<void> {
    const number = this.calls.length - 1;
    const { gateways, maxWorkMs, extra } = this.#plan;
    const request = {
      call: call.name,
      key: `k${number % 50}`,
      workMs: (number * 7) % (maxWorkMs + 1),
      ...extra(number),
    };
    const beganMs = performance.now();
    const first = Math.floor(Math.random() * gateways.length);
    for (let turn = first; call.ended === null; turn++) {
      const gateway = turn % gateways.length;
      const startedMs = performance.now();
      const name = `${call.name}/${call.tries.length + 1}`;
      const answer = await this.#send(gateways[gateway]!, call, name, request);
      const tookMs = performance.now() - startedMs;
      call.tries.push({ name, gateway, answer, startedAtMs: Date.now() - tookMs, tookMs });
      call.ended = decide(call, answer) ?? (performance.now() - beganMs > this.#patienceMs ? 'gave up' : null);
      if (call.ended === null) await pause(BACKOFF_MS);
    }
  }

  async #send(gateway: GatewayProcess, call: Call, name: string, request: object): Promise<Answer> {
    const headers: Record<string, string> = { 'x-try': name };
    if (call.key !== null) headers['idempotency-key'] = call.key;
    if (call.style === 'grpc') {
      return this.#grpc.send(gateway.ports.grpc, call.method, request, {
        metadata: headers,
        timeoutMs: GRPC_TIMEOUT_MS,
      });
    }
    if (call.style === 'wait') headers['prefer'] = 'wait=1';
    if (call.style === 'async') headers['prefer'] = 'respond-async';
    const url = `${gateway.url}${routeOf(call.method)}`;
    const timeoutMs = this.#plan.answerTimeoutMs;
    return readAnswer(
      await this.#rest.send({ url, method: 'POST', headers, body: JSON.stringify(request), timeoutMs }),
    );
  }
}

/** What the caller makes of an answer; null: it asks again, as it safely may. */
function decide({ key }: Call, answer: Answer): Call['ended'] {
  switch (answer.kind) {
    case 'result':
    case 'acknowledged':
      return answer.kind;
    case 'refused':
      return null;
    case 'reset':
    case 'silent':
      return key === null ? 'reset' : null;
    case 'error':
      return decideError(key !== null, answer);
  }
}

function decideError(keyed: boolean, { delivery, status }: Answer & { kind: 'error' }): Call['ended'] {
  if (delivery === 'failed') return 'failed';
  const isRefusal = /^4|INVALID|NOT_FOUND|UNIMPLEMENTED|FAILED_PRECONDITION/.test(status);
  if (isRefusal) return 'rejected';
  return keyed || delivery === 'not_sent' ? null : 'unknown';
}
