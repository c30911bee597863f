/** One wide log line a call, the same on every edge, and the two instruments that count calls. */

import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { BoundCounter, BoundHistogram, Counter, Histogram, Metrics } from '../runtime/metrics.ts';

export type EdgeName = 'rest' | 'grpc';

/** The line as it is written: made once, by the edge, on the path of every call. */
export interface CallLine {
  readonly edge: EdgeName;
  /** A command, or an own route or method. From a closed set, for it becomes a label. */
  readonly command: string;
  /** Of HTTP; null over gRPC. */
  readonly method: string | null;
  /** The template that matched, never the path itself; null over gRPC. */
  readonly route: string | null;
  /** HTTP status, or name of the gRPC code. */
  readonly status: number | string | undefined;
  /** `OK`, `ACCEPTED` (an operation goes on), `NOTED`, `NOT_MODIFIED`, or the code of the failure. */
  readonly outcome: string;
  readonly delivery: string | null;
  readonly durationMs: number;
  readonly requestId: string;
  readonly operationId: string | null;
  /** Of the answer's body or message. */
  readonly sizeBytes: number;
}

interface Instruments {
  readonly calls: BoundCounter;
  readonly durations: BoundHistogram;
}

/** Of one edge. Those of one gateway share their instruments. */
export class CallLog {
  readonly #edge: EdgeName;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #calls: Counter;
  readonly #durations: Histogram;
  /** By command, then outcome: both are closed sets. */
  readonly #instruments = new Map<string, Map<string, Instruments>>();

  constructor(edge: EdgeName, deps: { readonly logger: Logger; readonly metrics: Metrics; readonly clock: Clock }) {
    const labels = ['edge', 'command', 'outcome'];
    this.#edge = edge;
    this.#logger = deps.logger;
    this.#clock = deps.clock;
    this.#calls = deps.metrics.counter('sluice_calls_total', 'Calls answered.', labels);
    this.#durations = deps.metrics.histogram('sluice_call_duration_seconds', 'Time to the answer of a call.', labels);
  }

  /** Milliseconds since a monotonic time, to the microsecond. */
  since(startedMs: number): number {
    return Math.round((this.#clock.monotonicMs() - startedMs) * 1000) / 1000;
  }

  record(line: CallLine): void {
    const { calls, durations } = this.#instrumentsOf(line.command, line.outcome);
    calls.add(1);
    durations.observe(line.durationMs / 1000);
    this.#logger.info(line, 'call');
  }

  /** A defect of ours: the cause is for this log only. */
  recordDefect(command: string, requestId: string, error: unknown): void {
    this.#logger.error({ err: error, edge: this.#edge, command, requestId }, 'call failed');
  }

  #instrumentsOf(command: string, outcome: string): Instruments {
    const known = this.#instruments.get(command)?.get(outcome);
    if (known) return known;
    const labels = [this.#edge, command, outcome];
    const made = { calls: this.#calls.bind(...labels), durations: this.#durations.bind(...labels) };
    const ofCommand = this.#instruments.get(command) ?? new Map<string, Instruments>();
    this.#instruments.set(command, ofCommand.set(outcome, made));
    return made;
  }
}
