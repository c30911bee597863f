/** One wide log line a call, and the two instruments that count them. */

import { GRPC_CODE, type GrpcCodeName } from '../../runtime/failure.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Counter, Histogram, Metrics } from '../../runtime/metrics.ts';

export interface FinishedCall {
  /** A command or a method of Sluice's own services: from a closed set, for it becomes a label. */
  readonly command: string;
  /** The gRPC code. */
  readonly status: number;
  /** `OK`, `ACCEPTED` (an operation goes on), `NOTED`, or the code of the failure. */
  readonly outcome: string;
  readonly delivery: string | null;
  readonly durationMs: number;
  readonly requestId: string;
  readonly operationId: string | null;
  /** Of the response message. */
  readonly sizeBytes: number;
}

const CODE_NAMES = new Map(Object.entries(GRPC_CODE).map(([name, code]) => [code as number, name as GrpcCodeName]));

export class CallLog {
  readonly #logger: Logger;
  readonly #calls: Counter;
  readonly #durations: Histogram;

  constructor(logger: Logger, metrics: Metrics) {
    this.#logger = logger;
    const labels = ['command', 'outcome'];
    this.#calls = metrics.counter('sluice_grpc_calls_total', 'gRPC calls answered, by method', labels);
    this.#durations = metrics.histogram(
      'sluice_grpc_call_duration_seconds',
      'Time to the answer of a gRPC call',
      labels,
    );
  }

  record(call: FinishedCall): void {
    this.#calls.add(1, call.command, call.outcome);
    this.#durations.observe(call.durationMs / 1000, call.command, call.outcome);
    this.#logger.info(
      {
        command: call.command,
        status: CODE_NAMES.get(call.status),
        code: call.outcome,
        delivery: call.delivery,
        durationMs: Math.round(call.durationMs * 1000) / 1000,
        requestId: call.requestId,
        operationId: call.operationId,
        bytes: call.sizeBytes,
      },
      'grpc call',
    );
  }

  /** A defect of ours: the cause is for this log only. */
  recordDefect(command: string, requestId: string, error: unknown): void {
    this.#logger.error({ err: error, requestId, command }, 'grpc call failed');
  }
}
