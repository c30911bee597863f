import type { Clock } from './clock.ts';

/** Resolves after `delayMs`, or at once when the signal aborts. */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = () => {
      cancel();
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const cancel = clock.setTimer(finish, delayMs);
    signal?.addEventListener('abort', finish, { once: true });
  });
}

export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
}

/** Doubling delays up to a bound, each with up to a quarter of jitter taken off, so that many instances spread. */
export function* backoffDelays({ firstMs, maxMs }: BackoffOptions): Generator<number, never> {
  for (let delayMs = firstMs; ; delayMs = Math.min(delayMs * 2, maxMs)) yield delayMs * (1 - Math.random() / 4);
}
