/**
 * Runs tasks that have a key in common one after the other, in the order in which they were asked for; others run at once.
 * A task waits for earlier ones only, so none waits in a circle, and what bounds the tasks bounds the waiting.
 */
export class InTurn {
  /** By key, the last task that was asked for: resolves, never rejects, when it is over. */
  readonly #last = new Map<string, Promise<void>>();

  async run<Result>(keys: readonly string[], task: () => Promise<Result>): Promise<Result> {
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    const earlier = new Set<Promise<void>>();
    for (const key of keys) {
      const last = this.#last.get(key);
      if (last !== undefined) earlier.add(last);
      this.#last.set(key, over);
    }
    try {
      if (earlier.size > 0) await Promise.all(earlier);
      return await task();
    } finally {
      for (const key of keys) if (this.#last.get(key) === over) this.#last.delete(key);
      end();
    }
  }
}
