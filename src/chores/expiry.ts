import { eventOf } from '../operations/events.ts';
import type { Operation, OperationError } from '../operations/operation.ts';
import type { OperationChanges } from '../operations/store-ports.ts';
import type { BoundCounter } from '../runtime/metrics.ts';
import { type Chore, repeatWhileMore } from './chore.ts';
import type { DueOperations } from './ports.ts';
import type { Watermark } from './watermark.ts';

const UNANSWERED: OperationError = Object.freeze({
  code: 'OPERATION_EXPIRED',
  grpcCode: 'DEADLINE_EXCEEDED',
  message: 'no worker reported a result before the deadline',
  details: null,
  delivery: 'unknown',
});

const UNSENT: OperationError = Object.freeze({
  ...UNANSWERED,
  message: 'the command could not be sent before its deadline',
  delivery: 'not_sent',
});

export interface ExpiryDeps {
  readonly due: DueOperations;
  readonly changes: OperationChanges;
  readonly watermark: Watermark;
  readonly nowMs: () => number;
  readonly done: BoundCounter;
}

/**
 * Ends operations whose deadline has passed. One whose command may be on a log only where the watermark proves that no
 * reply had come by then; one that was never sent at once, for it can have none.
 */
export class Expiry implements Chore {
  readonly name = 'expiry';
  readonly everyMs: number;
  readonly #batchSize: number;
  readonly #deps: ExpiryDeps;

  constructor(options: { readonly everyMs: number; readonly batchSize: number }, deps: ExpiryDeps) {
    this.everyMs = options.everyMs;
    this.#batchSize = options.batchSize;
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { due, watermark } = this.#deps;
    await repeatWhileMore(signal, async () => this.#expire(await due.listUnsendable(this.#batchSize), UNSENT));
    const mark = watermark.reached;
    if (mark === null) return;
    await repeatWhileMore(signal, async () =>
      this.#expire(await due.listExpirable(mark.databaseMs, this.#batchSize), UNANSWERED),
    );
  }

  async #expire(operations: readonly Operation[], error: OperationError): Promise<boolean> {
    if (operations.length === 0) return false;
    const { changes, nowMs, done } = this.#deps;
    const atMs = nowMs();
    const outcome = await changes.commit(
      // With the deadline that has passed: one that was renewed since is not ended by it.
      operations.map(({ id, deadlineMs }) => ({
        operationId: id,
        events: [eventOf('expired', atMs, { error, deadlineMs })],
      })),
      null,
    );
    done.add(outcome.operations.filter(({ state }) => state === 'expired').length);
    return operations.length === this.#batchSize;
  }
}
