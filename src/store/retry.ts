import { pause } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { isTransient } from './store-error.ts';

const MAX_ATTEMPTS = 5;
const STEP_MS = 10;

/** Runs again what the server rolled back for a deadlock or a serialisation failure; any other error is thrown at once. */
export async function retryTransient<Result>(
  clock: Clock,
  run: () => Promise<Result>,
  isWorthRepeating: (error: unknown) => boolean = isTransient,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run();
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !isWorthRepeating(error)) throw error;
    }
    // Apart by chance: two transactions that met once would else meet again.
    await pause(clock, attempt * STEP_MS * Math.random());
  }
}
