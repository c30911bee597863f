import { backoffDelays, pause } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Dispatcher } from './dispatch.ts';
import { eventOf } from './events.ts';
import { isTerminal, type Operation, type OperationError } from './operation.ts';
import type { OperationChanges, OwnRecord, RecordSender } from './ports.ts';

const TELL_ROUND_MS = 5000;
const REPEAT = { firstMs: 500, maxMs: 5000 };
/** An unrecorded call has no row that would owe the word, so it is tried this often. */
const MAX_UNRECORDED_TRIES = 3;

export interface CancellationDeps {
  readonly bootId: string;
  readonly changes: OperationChanges;
  readonly dispatcher: Pick<Dispatcher, 'withdraw'>;
  readonly sender: RecordSender;
  /** The control record that tells workers of it. */
  readonly recordOf: (operationId: string) => OwnRecord;
  readonly clearCancellations: (operationIds: readonly string[]) => Promise<void>;
  readonly onChanged: (operations: readonly Operation[]) => void;
  /** Words to workers that may be on their way at once. */
  readonly maxPending: number;
  readonly clock: Clock;
  readonly nowMs: () => number;
  readonly logger: Logger;
}

const CANCELLED: OperationError = Object.freeze({
  code: 'OPERATION_CANCELLED',
  grpcCode: 'CANCELLED',
  message: 'cancelled before a worker reported a result',
  details: null,
  // The fold makes it `unknown` where anybody may have sent the command.
  delivery: 'not_sent',
});

/**
 * Takes operations back, as far as that goes: the row is cancelled at once, whatever a worker does; workers are told on
 * the control topic, and a result that comes after it is late. A result that came first stands.
 */
export class Cancellations {
  readonly #deps: CancellationDeps;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(deps: CancellationDeps) {
    this.#deps = deps;
  }

  /** The operation as it stands afterwards. Throws `StoreError`. */
  async cancel(operation: Operation): Promise<Operation> {
    if (isTerminal(operation.state)) return operation;
    const { bootId, dispatcher, changes, nowMs, onChanged } = this.#deps;
    const isUnsent = dispatcher.withdraw(operation.id);
    const event = eventOf('cancelled', nowMs(), { error: CANCELLED, by: isUnsent ? bootId : null });
    const outcome = await changes.commit([{ operationId: operation.id, events: [event] }], null);
    onChanged(outcome.operations);
    const after = outcome.operations[0] ?? operation;
    if (after.state === 'cancelled' && after.error?.delivery !== 'not_sent') {
      this.#track(this.#tell(operation.id, Number.POSITIVE_INFINITY));
    }
    return after;
  }

  /** The caller of an unrecorded call went away: best effort, and nothing is kept of it. */
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
