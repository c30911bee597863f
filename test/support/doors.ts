// Work that goes on when a test says so: a handler waits at a door by name, the test opens it.
export class Doors {
  readonly #doors = new Map<string, PromiseWithResolvers<void>>();
  readonly #arrived = new Set<string>();
  #isOver = false;

  /** Resolves once the door is open, also where it was opened before. */
  pass(name: string): Promise<void> {
    this.#arrived.add(name);
    return this.#find(name).promise;
  }

  open(name: string): void {
    this.#find(name).resolve();
  }

  /** Whether anybody has come to it. */
  isReached(name: string): boolean {
    return this.#arrived.has(name);
  }

  /** Also those that somebody comes to later: the end of a test waits for no handler. */
  openAll(): void {
    this.#isOver = true;
    for (const door of this.#doors.values()) door.resolve();
  }

  #find(name: string): PromiseWithResolvers<void> {
    const known = this.#doors.get(name);
    if (known) return known;
    const made = Promise.withResolvers<void>();
    if (this.#isOver) made.resolve();
    this.#doors.set(name, made);
    return made;
  }
}
