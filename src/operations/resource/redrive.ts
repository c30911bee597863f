import { Failure } from '../../runtime/failure.ts';
import { eventOf } from '../events.ts';
import { isTerminal, type Operation } from '../operation.ts';
import type { OperationChanges } from '../store-ports.ts';

export interface RedriveDeps {
  /** Who publishes the next attempt; null: whoever does the chores. */
  readonly bootId: string | null;
  readonly changes: OperationChanges;
  /** Publishes rows that this boot has claimed; one that finds no room is taken up later. Throws `StoreError`. */
  readonly takeUp: (operationIds: readonly string[]) => Promise<unknown>;
  readonly nowMs: () => number;
  /** How long the command gives its workers; null where the contract lacks it by now. */
  readonly timeoutOf: (command: string) => number | null;
}

/**
 * Sends an operation again by hand, with the whole time that its command gives.
 *
 * Returns it as it stands afterwards. Throws `Failure` `OPERATION_DONE`, and `StoreError`.
 */
export async function redriveOperation(operation: Operation, deps: RedriveDeps): Promise<Operation> {
  refuseDone(operation);
  const { bootId, changes, takeUp, nowMs, timeoutOf } = deps;
  const timeoutMs = timeoutOf(operation.command) ?? operation.deadlineMs - operation.createdAtMs;
  const event = eventOf('redriven', nowMs(), {
    by: bootId,
    afterAttempt: operation.attempt,
    deadlineMs: Math.max(operation.deadlineMs, nowMs() + timeoutMs),
  });
  const { operations } = await changes.commit([{ operationId: operation.id, events: [event] }], null);
  const after = operations[0] ?? operation;
  refuseDone(after);
  await takeUp([operation.id]);
  return after;
}

function refuseDone(operation: Operation): void {
  if (!isTerminal(operation.state)) return;
  throw new Failure('OPERATION_DONE', `operation ${operation.id} is ${operation.state}`, {
    delivery: operation.error?.delivery ?? 'unknown',
    operationId: operation.id,
  });
}
