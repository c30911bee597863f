import type { Clock } from '../../src/runtime/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** A clock that stands still until a test moves it. Timers of one moment run in the order in which they were set. */
export class FakeClock implements Clock {
  #nowMs = 0;
  #order = 0;
  readonly #startWallMs: number;
  readonly #timers = new Set<Timer>();

  constructor(startWallMs = Date.UTC(2026, 0, 1)) {
    this.#startWallMs = startWallMs;
  }

  wallMs(): number {
    return this.#startWallMs + this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  setTimer(run: () => void, delayMs: number): () => void {
    const timer = { atMs: this.#nowMs + Math.max(delayMs, 0), order: this.#order++, run };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** Timers that are set and neither ran nor were cancelled. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Moves on and runs what is due, in order; also what is set meanwhile and falls due. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs;
    for (let next = this.#nextDue(untilMs); next !== null; next = this.#nextDue(untilMs)) {
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
    }
    this.#nowMs = untilMs;
  }

  #nextDue(untilMs: number): Timer | null {
    const due = [...this.#timers].filter(({ atMs }) => atMs <= untilMs);
    due.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
    return due[0] ?? null;
  }
}
