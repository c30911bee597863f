/** Runs a route: opens the exchange, turns what is thrown into a problem, adds what every answer has, writes the log line. */

import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import { chooseRequestId, hideDefect } from '../call-head.ts';
import { CallLog } from '../call-log.ts';
import { IDEMPOTENCY_KEY } from '../idempotency-key.ts';
import { readTrace } from '../trace.ts';
import type { StreamEnd } from './event-streams.ts';
import type { Exchange, RestAnswer } from './exchange.ts';
import type { Incoming } from './incoming.ts';
import type { Links } from './links.ts';
import { answerProblem } from './problem.ts';

export interface ResponderOptions {
  readonly links: Links;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly requestIds: { next(): string };
  readonly isDraining: () => boolean;
}

export class Responder {
  readonly #options: ResponderOptions;
  readonly #log: CallLog;

  constructor(options: ResponderOptions) {
    this.#options = options;
    this.#log = new CallLog('rest', options);
  }

  open(incoming: Incoming): Exchange {
    const { clock, requestIds } = this.#options;
    return {
      incoming,
      requestId: chooseRequestId(incoming.header('x-request-id'), requestIds),
      trace: readTrace(incoming.header('traceparent'), incoming.header('tracestate')),
      startedMs: clock.monotonicMs(),
      route: 'none',
      command: null,
    };
  }

  /** Never rejects. */
  async run(exchange: Exchange, route: (exchange: Exchange) => RestAnswer | Promise<RestAnswer>): Promise<RestAnswer> {
    try {
      return this.#finish(exchange, await route(exchange));
    } catch (error) {
      return this.fail(exchange, error);
    }
  }

  /** The problem that an error is to the caller. */
  fail(exchange: Exchange, error: unknown): RestAnswer {
    const concernsCommand = exchange.command !== null;
    const hasKey = concernsCommand && exchange.incoming.header(IDEMPOTENCY_KEY) !== null;
    const failure = hideDefect(error, this.#log, { command: labelOf(exchange), requestId: exchange.requestId, hasKey });
    const linkOf = (id: string) => this.#options.links.ofOperation(exchange.incoming, id).self;
    const answer = answerProblem(failure, { requestId: exchange.requestId, linkOf, concernsCommand });
    if (concernsCommand) answer.headers['vary'] = 'Prefer';
    return this.#finish(exchange, answer);
  }

  #finish(exchange: Exchange, answer: RestAnswer): RestAnswer {
    const { body, headers, ended } = answer;
    headers['x-request-id'] = exchange.requestId;
    headers['traceparent'] = exchange.trace.traceparent;
    if (this.#options.isDraining()) headers['connection'] = 'close';
    if (ended !== undefined) {
      void ended.then((end) => this.#recordStream(exchange, answer, end));
      return answer;
    }
    const sizeBytes = body === null || body instanceof ReadableStream ? 0 : Buffer.byteLength(body);
    if (body !== null) headers['content-length'] = String(sizeBytes);
    this.#record(exchange, answer, exchange.incoming.method === 'HEAD' ? 0 : sizeBytes);
    return answer;
  }

  /** One line as for every request, once its stream has ended. */
  #recordStream(exchange: Exchange, answer: RestAnswer, { sizeBytes, error }: StreamEnd): void {
    const of = { command: labelOf(exchange), requestId: exchange.requestId };
    const outcome = error === null ? answer.outcome : hideDefect(error, this.#log, of).code;
    this.#record(exchange, { ...answer, outcome }, sizeBytes);
  }

  #record(exchange: Exchange, answer: RestAnswer, sizeBytes: number): void {
    this.#log.record({
      edge: 'rest',
      command: labelOf(exchange),
      method: exchange.incoming.method,
      route: exchange.route,
      status: answer.status,
      outcome: answer.outcome,
      delivery: answer.delivery,
      durationMs: this.#log.since(exchange.startedMs),
      requestId: exchange.requestId,
      operationId: answer.operationId,
      sizeBytes,
    });
  }
}

/** The command, or the own route: from a closed set. */
function labelOf(exchange: Exchange): string {
  return exchange.command ?? exchange.route;
}
