import type { Operation } from '../operations/operation.ts';
import { type Chore, repeatWhileMore } from './chore.ts';
import type { OwedChoreDeps, OwedChoreOptions } from './dead-letters.ts';
import { payEach } from './owed-sender.ts';

/** The instance that cancels tells the workers at once; after this it has died, or the bus was away. */
const MIN_AGE_MS = 5000;

/** Tells workers, on the control topic, of cancelled operations that nobody has told them of. */
export class Cancellations implements Chore {
  readonly name = 'cancellations';
  readonly everyMs: number;
  readonly #limit: number;
  readonly #deps: OwedChoreDeps;

  constructor(options: OwedChoreOptions, deps: OwedChoreDeps) {
    this.everyMs = options.everyMs;
    this.#limit = options.batchSize;
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { owed, forms, sender } = this.#deps;
    await repeatWhileMore(signal, async () => {
      const cancelled = await owed.listOwedCancellations({ minAgeMs: MIN_AGE_MS, limit: this.#limit });
      await payEach(
        cancelled,
        ({ id }) => sender.sendOrDrop(this.name, id, forms.cancellation(id), signal),
        (paid) => this.#clear(paid),
      );
      return cancelled.length === this.#limit;
    });
  }

  async #clear(paid: readonly Operation[]): Promise<void> {
    await this.#deps.owed.clearCancellations(paid.map(({ id }) => id));
    this.#deps.done.add(paid.length);
  }
}
