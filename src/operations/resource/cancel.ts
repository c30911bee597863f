import { eventOf } from '../events.ts';
import { isTerminal, type Operation, type OperationError } from '../operation.ts';
import type { Dispatcher } from '../outbox/dispatch.ts';
import type { OperationChanges } from '../store-ports.ts';
import type { CancellationTeller } from './cancellation-teller.ts';

export interface CancelDeps {
  readonly bootId: string;
  readonly changes: OperationChanges;
  /** Null where nothing is published from here, so nothing can be taken back. */
  readonly dispatcher: Pick<Dispatcher, 'withdraw'> | null;
  /** Null where nobody is told from here: the row owes the word, and the chores pay it. */
  readonly teller: Pick<CancellationTeller, 'tellRecorded'> | null;
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
 * Takes an operation back, as far as that goes: the row is cancelled at once, whatever a worker does; workers are told on
 * the control topic, and a result that comes after it is late. A result that came first stands.
 *
 * Returns the operation as it stands afterwards. Throws `StoreError`.
 */
export async function cancelOperation(operation: Operation, deps: CancelDeps): Promise<Operation> {
  if (isTerminal(operation.state)) return operation;
  const { bootId, dispatcher, changes, teller, nowMs } = deps;
  const isUnsent = dispatcher?.withdraw(operation.id) ?? false;
  const event = eventOf('cancelled', nowMs(), { error: CANCELLED, by: isUnsent ? bootId : null });
  const { operations } = await changes.commit([{ operationId: operation.id, events: [event] }], null);
  const after = operations[0] ?? operation;
  if (after.state === 'cancelled' && after.error?.delivery !== 'not_sent') teller?.tellRecorded(operation.id);
  return after;
}
