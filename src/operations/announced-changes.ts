import type { Operation } from './operation.ts';
import type { ChangeOutcome, OffsetMove, OperationChange, OperationChanges } from './store-ports.ts';

/** Changes whose outcome those who wait here are told: what the transaction returned, never what was asked of it. */
export class AnnouncedChanges implements OperationChanges {
  readonly #changes: OperationChanges;
  readonly #announce: (operations: readonly Operation[]) => void;

  constructor(changes: OperationChanges, announce: (operations: readonly Operation[]) => void) {
    this.#changes = changes;
    this.#announce = announce;
  }

  async commit(changes: readonly OperationChange[], move: OffsetMove | null): Promise<ChangeOutcome> {
    const outcome = await this.#changes.commit(changes, move);
    this.#announce(outcome.operations);
    return outcome;
  }
}
