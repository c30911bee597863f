import type { Counter } from '../runtime/metrics.ts';

/** One duty of the holder of the chores lease. Two holders at once (one was paused past its lease) do no harm. */
export interface Chore {
  /** For the log and as a label of metrics. */
  readonly name: string;
  readonly everyMs: number;
  /**
   * One look at what is due. Ends soon after `signal` aborts, within the statement that is under way. Whatever it throws is
   * noted, and it is run again at its next time.
   */
  run(signal: AbortSignal): Promise<void>;
  /** Of one that can be asked for out of its rhythm: makes a run that is under way look once more. */
  hurry?(): void;
}

/** Counts what the chores have done, labelled by chore. */
export interface ChoreCounters {
  readonly done: Counter;
  /** Records of ours that their topic refused for good. */
  readonly refused: Counter;
}

/** Batches that one run takes at most: the rest is for the next one. */
const MAX_ROUNDS = 20;

/** Repeats a step while it says that there may be more, up to a bound. */
export async function repeatWhileMore(signal: AbortSignal, step: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < MAX_ROUNDS && !signal.aborted; round += 1) {
    if (!(await step())) return;
  }
}

/** Waits for the bus no longer than for the end of the chore: what it then says is heard by nobody. */
export function orAborted<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new AbortedError('the chores are being given up'));
    const settle = () => signal.removeEventListener('abort', abort);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.finally(settle).then(resolve, reject);
  });
}

export class AbortedError extends Error {
  override readonly name = 'AbortedError';
}
