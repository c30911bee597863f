import { backoffDelays, pause } from '../../runtime/backoff.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import type { OwnRecord, RecordSender } from '../channel-ports.ts';

const TELL_ROUND_MS = 5000;
const REPEAT = { firstMs: 500, maxMs: 5000 };
/** An unrecorded call has no row that would owe the word, so it is tried this often. */
const MAX_UNRECORDED_TRIES = 3;

export interface CancellationTellerDeps {
  readonly sender: RecordSender;
  /** The control record that tells workers of it. */
  readonly recordOf: (operationId: string) => OwnRecord;
  readonly clearCancellations: (operationIds: readonly string[]) => Promise<void>;
  /** Words to workers that may be on their way at once. */
  readonly maxPending: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Tells workers, on the control topic, that what they were given is not wanted any more. In the background, best effort. */
export class CancellationTeller {
  readonly #deps: CancellationTellerDeps;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(deps: CancellationTellerDeps) {
    this.#deps = deps;
  }

  /** Of an operation: until they are told, and then the row owes the word no more. */
  tellRecorded(operationId: string): void {
    this.#track(this.#tell(operationId, Number.POSITIVE_INFINITY));
  }

  /** The caller of an unrecorded call went away: nothing is kept of it. */
  tellUnrecorded(operationId: string): void {
    this.#track(this.#tell(operationId, MAX_UNRECORDED_TRIES));
  }

  /** What is not told by then is the chores' to tell. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  #track(run: Promise<void>): void {
    // Past the bound the row owes the word, and the chores pay it.
    const tracked = run.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }

  async #tell(operationId: string, maxTries: number): Promise<void> {
    const { sender, recordOf, clock, logger, clearCancellations, maxPending } = this.#deps;
    if (this.#running.size >= maxPending) return;
    let tries = 0;
    for (const delayMs of backoffDelays(REPEAT)) {
      try {
        await sender.send(recordOf(operationId), clock.monotonicMs() + TELL_ROUND_MS);
        if (maxTries === Number.POSITIVE_INFINITY) await clearCancellations([operationId]);
        return;
      } catch (error) {
        tries += 1;
        logger.debug({ operationId, cause: String(error) }, 'workers could not be told of a cancellation');
        if (tries >= maxTries) return;
      }
      await pause(clock, delayMs, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
    }
  }
}
