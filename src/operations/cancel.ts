import type { CancellationTeller } from './cancellation-teller.ts';
import type { Dispatcher } from './dispatch.ts';
import { eventOf } from './events.ts';
import { isTerminal, type Operation, type OperationError } from './operation.ts';
import type { OperationChanges } from './ports.ts';

export interface CancellationDeps {
  readonly bootId: string;
  readonly changes: OperationChanges;
  /** Null where nothing is published from here, so nothing can be taken back. */
  readonly dispatcher: Pick<Dispatcher, 'withdraw'> | null;
  /** Null where nobody is told from here: the row owes the word, and the chores pay it. */
  readonly teller: Pick<CancellationTeller, 'tellRecorded'> | null;
  readonly onChanged: (operations: readonly Operation[]) => void;
  readonly nowMs: () => number;
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

  constructor(deps: CancellationDeps) {
    this.#deps = deps;
  }

  /** The operation as it stands afterwards. Throws `StoreError`. */
  async cancel(operation: Operation): Promise<Operation> {
    if (isTerminal(operation.state)) return operation;
    const { bootId, dispatcher, changes, teller, nowMs, onChanged } = this.#deps;
    const isUnsent = dispatcher?.withdraw(operation.id) ?? false;
    const event = eventOf('cancelled', nowMs(), { error: CANCELLED, by: isUnsent ? bootId : null });
    const outcome = await changes.commit([{ operationId: operation.id, events: [event] }], null);
    onChanged(outcome.operations);
    const after = outcome.operations[0] ?? operation;
    if (after.state === 'cancelled' && after.error?.delivery !== 'not_sent') teller?.tellRecorded(operation.id);
    return after;
  }
}
