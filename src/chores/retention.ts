import { pause } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import type { BoundCounter } from '../runtime/metrics.ts';
import type { Chore } from './chore.ts';
import type { Retention } from './ports.ts';

/** Rows of one statement at most: on the embedded store everybody waits for it. */
const MAX_BATCH = 200;
/** Between two batches others have the database. */
const PAUSE_MS = 50;

/** Deletes finished operations past their retention, a few at a time. */
export class Purge implements Chore {
  readonly name = 'purge';
  readonly everyMs: number;
  readonly #batchSize: number;
  readonly #deps: { readonly retention: Retention; readonly clock: Clock; readonly done: BoundCounter };
  /** Where the walk goes on that an error broke off. */
  #afterId: string | null = null;

  constructor(
    options: { readonly everyMs: number; readonly batchSize: number },
    deps: { retention: Retention; clock: Clock; done: BoundCounter },
  ) {
    this.everyMs = options.everyMs;
    this.#batchSize = Math.min(options.batchSize, MAX_BATCH);
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { retention, clock, done } = this.#deps;
    while (!signal.aborted) {
      const { purged, nextId } = await retention.purge(this.#afterId, this.#batchSize);
      done.add(purged);
      this.#afterId = nextId;
      if (nextId === null) return;
      await pause(clock, PAUSE_MS, signal);
    }
  }
}
