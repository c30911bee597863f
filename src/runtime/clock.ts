/** Time as a port, so that every ordering of a race can be played in a test without waiting. */
export interface Clock {
  /** Milliseconds since the Unix epoch, by this machine's clock. For people and headers, never for measuring. */
  wallMs(): number;
  /** Milliseconds since some fixed moment; never goes back. For every wait and deadline inside this process. */
  monotonicMs(): number;
  /** Calls `run` once, `delayMs` from now (at least 0). The returned function cancels it; cancelling twice is harmless. */
  setTimer(run: () => void, delayMs: number): () => void;
}

/** Node keeps a delay in 32 bits; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = Object.freeze({
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(run: () => void, delayMs: number) {
    const timer = setTimeout(run, Math.min(Math.max(delayMs, 0), MAX_DELAY_MS));
    return () => clearTimeout(timer);
  },
});
