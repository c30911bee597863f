import { Failure } from '../runtime/failure.ts';
import { eventOf } from './events.ts';
import { isTerminal, type Operation } from './operation.ts';
import type { OperationChanges } from './ports.ts';

export interface RedriveDeps {
  /** Who publishes the next attempt; null: whoever does the chores. */
  readonly bootId: string | null;
  readonly changes: OperationChanges;
  /** Publishes rows that this boot has claimed; one that finds no room is taken up later. Throws `StoreError`. */
  readonly takeUp: (operationIds: readonly string[]) => Promise<unknown>;
  readonly onChanged: (operations: readonly Operation[]) => void;
  readonly nowMs: () => number;
  /** How long the command gives its workers; null where the contract lacks it by now. */
  readonly timeoutOf: (command: string) => number | null;
}

/** Sends operations again by hand, with the whole time that their command gives. */
export class Redrives {
  readonly #deps: RedriveDeps;

  constructor(deps: RedriveDeps) {
    this.#deps = deps;
  }

  /** The operation as it stands afterwards. Throws `Failure` `OPERATION_DONE`, and `StoreError`. */
  async redrive(operation: Operation): Promise<Operation> {
    refuseDone(operation);
    const { bootId, changes, takeUp, nowMs, timeoutOf, onChanged } = this.#deps;
    const timeoutMs = timeoutOf(operation.command) ?? operation.deadlineMs - operation.createdAtMs;
    const event = eventOf('redriven', nowMs(), {
      by: bootId,
      afterAttempt: operation.attempt,
      deadlineMs: Math.max(operation.deadlineMs, nowMs() + timeoutMs),
    });
    const outcome = await changes.commit([{ operationId: operation.id, events: [event] }], null);
    onChanged(outcome.operations);
    const after = outcome.operations[0] ?? operation;
    refuseDone(after);
    await takeUp([operation.id]);
    return after;
  }
}

function refuseDone(operation: Operation): void {
  if (!isTerminal(operation.state)) return;
  throw new Failure('OPERATION_DONE', `operation ${operation.id} is ${operation.state}`, {
    delivery: operation.error?.delivery ?? 'unknown',
    operationId: operation.id,
  });
}
