import { type Clock, delay } from './clock.ts';
import { isTransient } from './kafka-errors.ts';
import type { Logger } from './log.ts';

export interface StartOptions {
  /** For the log: `reaching Kafka`. */
  readonly what: string;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Gives up at once. */
  readonly signal?: AbortSignal;
}

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;
/** Shorter waits are the everyday course of a start and are not worth a warning. */
const LOUD_BACKOFF_MS = 3_200;

/**
 * Repeats what a start needs of the brokers while they are not up yet, or have not heard yet of a topic that was just
 * made: the one that is asked is not always the one that made it.
 * @throws what `attempt` throws once it is definite, or `timeoutMs` have passed, or the signal has fired
 */
export async function repeatUntilUp<Result>(options: StartOptions, attempt: () => Promise<Result>): Promise<Result> {
  const { what, timeoutMs, clock, logger, signal } = options;
  const endMs = clock.nowMs() + timeoutMs;
  for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)) {
    try {
      return await attempt();
    } catch (error) {
      if (signal?.aborted || !isTransient(error) || clock.nowMs() >= endMs) throw error;
      const level = backoffMs < LOUD_BACKOFF_MS ? 'debug' : 'warn';
      logger[level]({ reason: (error as Error).message, againInMs: backoffMs }, `${what}: not yet; it is tried again`);
      await delay(clock, Math.min(backoffMs, endMs - clock.nowMs()), signal).catch(() => {});
    }
  }
}
