// Group commit of anything: while one batch is being written the next one gathers. No linger.

export class Gather<Item> {
  #gathered: Item[] = [];
  #writing = false;
  readonly #maxItems: number;
  readonly #write: (batch: Item[]) => Promise<unknown>;

  constructor(maxItems: number, write: (batch: Item[]) => Promise<unknown>) {
    this.#maxItems = maxItems;
    this.#write = write;
  }

  add(item: Item): void {
    this.#gathered.push(item);
    if (this.#writing) return;
    this.#writing = true;
    // The items of one turn of the event loop go together.
    setImmediate(() => void this.#writeAll());
  }

  /** A batch that fails ends the process, as a floor tells no failures: the rejection is nobody's. */
  async #writeAll(): Promise<void> {
    while (this.#gathered.length > 0) await this.#write(this.#gathered.splice(0, this.#maxItems));
    this.#writing = false;
  }
}
