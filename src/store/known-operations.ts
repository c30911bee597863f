import { MAX_EVENTS } from '../operations/fold.ts';
import { isTerminal, type Operation } from '../operations/operation.ts';

/**
 * Open operations as this process wrote them last, so that settling need not read them first. A guess: others may have
 * written since, so whoever builds on it writes under the condition that the row's version is still this one.
 *
 * Bounded: the oldest is forgotten first, and its settlement reads the row.
 */
export class KnownOperations {
  readonly #maxItems: number;
  readonly #operations = new Map<string, Operation>();
  /**
   * Before the oldest: what it has passed is deleted. Kept, for a new one would walk over all that was deleted at the front;
   * moved only while there are too many, so it never comes to an end.
   */
  readonly #oldest = this.#operations.keys();

  constructor(maxItems: number) {
    this.#maxItems = maxItems;
  }

  get(id: string): Operation | undefined {
    return this.#operations.get(id);
  }

  /**
   * As it was just written. What is done is forgotten: only a late reply would ask for it. So is what has had all the events
   * that a history keeps: from there on the row counts more than its version says.
   */
  remember(operation: Operation): void {
    this.#operations.delete(operation.id);
    if (isTerminal(operation.state) || operation.version >= MAX_EVENTS) return;
    this.#operations.set(operation.id, operation);
    if (this.#operations.size > this.#maxItems) this.#forgetOldest();
  }

  #forgetOldest(): void {
    const { value, done } = this.#oldest.next();
    if (!done) this.#operations.delete(value);
  }

  /** Nobody knows what the rows say by now. */
  forget(ids: Iterable<string>): void {
    for (const id of ids) this.#operations.delete(id);
  }
}
