import { backoffDelays, pause } from '../../runtime/backoff.ts';
import { Batcher } from '../../runtime/batch.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import { Trouble } from '../../runtime/trouble.ts';
import type { OperationChange, OperationChanges } from '../store-ports.ts';

const REPEAT = { firstMs: 250, maxMs: 5000 };

/**
 * Applies what happened to operations without a reply having said so (dispatch marks, definite publish errors), many in
 * a transaction, repeated until the store takes them. What this instance has in memory is the only witness of them.
 */
export class ChangeWriter {
  readonly #batcher: Batcher<OperationChange, undefined>;
  readonly #clock: Clock;
  readonly #trouble: Trouble;
  readonly #stop = new AbortController();

  constructor(
    changes: OperationChanges,
    options: {
      readonly maxBatch: number;
      readonly maxPending: number;
    },
    deps: { clock: Clock; logger: Logger },
  ) {
    this.#clock = deps.clock;
    this.#trouble = new Trouble('what happened to operations cannot be written and is repeated', deps.logger);
    this.#batcher = new Batcher({
      maxItems: options.maxBatch,
      maxPendingItems: options.maxPending,
      flush: async (batch) => {
        await changes.commit(batch, null);
        return batch.map(() => undefined);
      },
    });
  }

  /** Resolves once written, or at stop. Never rejects. */
  async write(change: OperationChange): Promise<void> {
    for (const delayMs of backoffDelays(REPEAT)) {
      try {
        await this.#batcher.submit(change);
        return this.#trouble.end();
      } catch (error) {
        this.#trouble.note({ operationId: change.operationId, cause: String(error) });
      }
      await pause(this.#clock, delayMs, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
    }
  }

  /** From now on a change is tried, and not repeated: whoever waits for one at the end must not wait for an outage. */
  stopRepeating(): void {
    this.#stop.abort();
  }

  async stop(): Promise<void> {
    this.stopRepeating();
    await this.#batcher.drain();
  }
}
