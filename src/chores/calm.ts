import type { Clock } from '../runtime/clock.ts';

/**
 * Whether the database has answered long enough without a break that who is dead there is dead. After an outage the rows
 * of all instances have run out, and what they claim is theirs until each had the time to beat again.
 *
 * Invariant: calm from one whole period after the first answer of an unbroken series; answers further apart than half a
 * period are a break.
 */
export class Calm {
  readonly #periodMs: number;
  readonly #clock: Clock;
  /** Monotonic; null before the first answer and after a failure. */
  #sinceMs: number | null = null;
  #lastMs = 0;

  constructor(options: { readonly periodMs: number }, deps: { readonly clock: Clock }) {
    this.#periodMs = options.periodMs;
    this.#clock = deps.clock;
  }

  noteAnswer(): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#sinceMs === null || nowMs - this.#lastMs > this.#periodMs / 2) this.#sinceMs = nowMs;
    this.#lastMs = nowMs;
  }

  noteFailure(): void {
    this.#sinceMs = null;
  }

  get isKnown(): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (this.#sinceMs === null || nowMs - this.#lastMs > this.#periodMs / 2) return false;
    return nowMs - this.#sinceMs >= this.#periodMs;
  }
}
