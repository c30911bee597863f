/** One wide log line a request, and the two instruments that count them. */

import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Counter, Histogram, Metrics } from '../../runtime/metrics.ts';
import type { Exchange, RestAnswer } from './exchange.ts';

export class CallLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #calls: Counter;
  readonly #durations: Histogram;

  constructor(logger: Logger, metrics: Metrics, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
    const labels = ['command', 'outcome'];
    this.#calls = metrics.counter('sluice_rest_calls_total', 'REST requests answered, by command or own route', labels);
    this.#durations = metrics.histogram(
      'sluice_rest_call_duration_seconds',
      'Time to the answer of a REST request',
      labels,
    );
  }

  record(exchange: Exchange, answer: RestAnswer, sizeBytes: number): void {
    const durationMs = this.#clock.monotonicMs() - exchange.startedMs;
    const command = exchange.command ?? exchange.route;
    this.#calls.add(1, command, answer.outcome);
    this.#durations.observe(durationMs / 1000, command, answer.outcome);
    this.#logger.info(
      {
        method: exchange.incoming.method,
        route: exchange.route,
        command: exchange.command,
        status: answer.status,
        code: answer.outcome,
        delivery: answer.delivery,
        durationMs: Math.round(durationMs * 1000) / 1000,
        requestId: exchange.requestId,
        operationId: answer.operationId,
        bytes: sizeBytes,
      },
      'rest call',
    );
  }

  /** A defect of ours: the cause is for this log only. */
  recordDefect(exchange: Exchange, error: unknown): void {
    this.#logger.error({ err: error, requestId: exchange.requestId, command: exchange.command }, 'rest call failed');
  }
}
