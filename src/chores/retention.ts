import { pause } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import type { BoundCounter } from '../runtime/metrics.ts';
import type { Chore } from './chore.ts';
import type { Retention } from './ports.ts';

export interface PurgeOptions {
  readonly everyMs: number;
  /** Rows of one statement. */
  readonly batchSize: number;
  readonly minPauseMs: number;
}

/**
 * Deletes finished operations past their retention, a few at a time. Between two batches others have the database, for as
 * long as the batch has taken: so a purge has half of one connection at the most, and less of a database that is slow.
 */
export class Purge implements Chore {
  readonly name = 'purge';
  readonly everyMs: number;
  readonly #options: PurgeOptions;
  readonly #deps: { readonly retention: Retention; readonly clock: Clock; readonly done: BoundCounter };
  /** Where the walk goes on that an error broke off. */
  #afterId: string | null = null;

  constructor(options: PurgeOptions, deps: { retention: Retention; clock: Clock; done: BoundCounter }) {
    this.everyMs = options.everyMs;
    this.#options = options;
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { retention, clock, done } = this.#deps;
    const { batchSize, minPauseMs } = this.#options;
    while (!signal.aborted) {
      const startMs = clock.monotonicMs();
      const { purged, nextId } = await retention.purge(this.#afterId, batchSize);
      done.add(purged);
      this.#afterId = nextId;
      if (nextId === null) return;
      await pause(clock, Math.max(minPauseMs, clock.monotonicMs() - startMs), signal);
    }
  }
}
