import { backoffDelays, pause } from '../runtime/backoff.ts';
import { Batcher } from '../runtime/batch.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Operation } from './operation.ts';
import type { OperationChange, OperationChanges } from './ports.ts';

const REPEAT = { firstMs: 250, maxMs: 5000 };

/**
 * Applies what happened to operations without a reply having said so (dispatch marks, definite publish errors), many in
 * a transaction, repeated until the store takes them. What this instance has in memory is the only witness of them.
 */
export class ChangeWriter {
  readonly #batcher: Batcher<OperationChange, undefined>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #stop = new AbortController();

  constructor(
    changes: OperationChanges,
    options: {
      readonly maxBatch: number;
      readonly maxPending: number;
      readonly onChanged: (operations: readonly Operation[]) => void;
    },
    deps: { clock: Clock; logger: Logger },
  ) {
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#batcher = new Batcher({
      maxItems: options.maxBatch,
      maxPendingItems: options.maxPending,
      flush: async (batch) => {
        const outcome = await changes.commit(batch, null);
        options.onChanged(outcome.operations);
        return batch.map(() => undefined);
      },
    });
  }

  /** Resolves once written, or at stop. Never rejects. */
  async write(change: OperationChange): Promise<void> {
    for (const delayMs of backoffDelays(REPEAT)) {
      try {
        await this.#batcher.submit(change);
        return;
      } catch (error) {
        this.#logger.warn({ operationId: change.operationId, cause: String(error) }, 'an operation change is repeated');
      }
      await pause(this.#clock, delayMs, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#batcher.drain();
  }
}
