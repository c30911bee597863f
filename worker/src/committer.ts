import type { Clock } from './clock.ts';
import type { Logger } from './log.ts';
import type { OffsetTracker } from './offsets.ts';
import type { Position } from './transport.ts';

export interface CommitterOptions {
  readonly offsets: OffsetTracker;
  readonly commit: (positions: readonly Position[]) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalMs: number;
}

/**
 * Commits in the background, one request at a time and one an interval at the most: a commit is a round trip to the
 * group's coordinator, and made after each batch it would hold back the next one.
 */
export class OffsetCommitter {
  readonly #options: CommitterOptions;
  #cancelTimer: (() => void) | null = null;
  #committing: Promise<void> | null = null;
  #closed = false;
  /** One warning an outage. */
  #failed = false;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  commitSoon(): void {
    if (this.#closed || this.#cancelTimer !== null || this.#committing !== null) return;
    this.#cancelTimer = this.#options.clock.setTimer(() => {
      this.#cancelTimer = null;
      this.#committing = this.#commit().finally(() => {
        this.#committing = null;
        // What was done meanwhile, and what failed, waits for nobody else to ask.
        if (this.#options.offsets.committable().length > 0) this.commitSoon();
      });
    }, this.#options.intervalMs);
  }

  /** Commits what is left, once. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer?.();
    await this.#committing;
    await this.#commit();
  }

  async #commit(): Promise<void> {
    const { offsets, commit, logger } = this.#options;
    const positions = offsets.committable();
    if (positions.length === 0) return;
    try {
      await commit(positions);
      offsets.markCommitted(positions);
      this.#failed = false;
    } catch (error) {
      logger[this.#failed ? 'debug' : 'warn']({ error }, 'offsets not committed; they will be tried again');
      this.#failed = true;
    }
  }
}
