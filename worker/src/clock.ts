/** Time as a port, so that deadlines and `accepted` replies can be tested without waiting. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  nowMs(): number;
  /** Calls `run` once, `delayMs` from now (at least 0). The returned function cancels it; cancelling twice is harmless. */
  setTimer(run: () => void, delayMs: number): () => void;
}

/** Node keeps a delay in 32 bits; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = Object.freeze({
  nowMs: () => Date.now(),
  setTimer(run: () => void, delayMs: number) {
    const timer = setTimeout(run, Math.min(Math.max(delayMs, 0), MAX_DELAY_MS));
    return () => clearTimeout(timer);
  },
});

/** Resolves after `delayMs`; rejects with the signal's reason when it fires first, and leaves no timer behind. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    const cancel = clock.setTimer(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, delayMs);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
