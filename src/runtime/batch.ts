/** What a full batcher throws; the caller turns it into its own refusal. */
export class BatchFullError extends Error {
  override readonly name = 'BatchFullError';
}

export interface BatcherOptions<Item, Result> {
  /**
   * Takes what gathered while the last batch was in flight. Resolves with one result per item, in order;
   * an item's own failure is an `Error` in its place, a throw fails them all.
   */
  readonly flush: (items: readonly Item[]) => Promise<readonly (Result | Error)[]>;
  readonly maxItems: number;
  /** Items waiting and in flight together; at the bound `submit` rejects with `BatchFullError`. */
  readonly maxPendingItems: number;
  /** Bytes of one batch at the most, with `sizeOf`; an item larger than this goes alone. */
  readonly maxBytes?: number;
  readonly maxPendingBytes?: number;
  readonly sizeOf?: (item: Item) => number;
  /** Batches in flight at once. Default 1: order is kept and the next batch gathers meanwhile. */
  readonly maxInFlight?: number;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly sizeBytes: number;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Group commit: while one batch is in flight the next one gathers. There is no linger: an idle batcher flushes at the end
 * of the current turn of the event loop, so a lone item waits for nothing and a burst read in one turn shares a batch.
 */
export class Batcher<Item, Result> {
  readonly #options: BatcherOptions<Item, Result>;
  /** Invariant: `#pendingItems` = waiting + in flight, and `#pendingBytes` is the sum of their sizes. */
  #waiting: Waiting<Item, Result>[] = [];
  #pendingItems = 0;
  #pendingBytes = 0;
  #inFlight = 0;
  #scheduled = false;
  #idle: (() => void)[] = [];

  constructor(options: BatcherOptions<Item, Result>) {
    this.#options = options;
  }

  get pendingItems(): number {
    return this.#pendingItems;
  }

  /** Rejects with `BatchFullError` at the bound, else with what `flush` said of this item. */
  submit(item: Item): Promise<Result> {
    const sizeBytes = this.#options.sizeOf?.(item) ?? 0;
    if (!this.#hasRoom(sizeBytes)) return Promise.reject(new BatchFullError(`${this.#pendingItems} items are pending`));
    this.#pendingItems += 1;
    this.#pendingBytes += sizeBytes;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, sizeBytes, resolve, reject });
      this.#schedule();
    });
  }

  /** Resolves once nothing waits or is in flight. */
  drain(): Promise<void> {
    if (this.#pendingItems === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #hasRoom(sizeBytes: number): boolean {
    if (this.#pendingItems >= this.#options.maxPendingItems) return false;
    return this.#pendingBytes + sizeBytes <= (this.#options.maxPendingBytes ?? Number.POSITIVE_INFINITY);
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= (this.#options.maxInFlight ?? 1)) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#flushNext();
    });
  }

  async #flushNext(): Promise<void> {
    const batch = this.#takeBatch();
    if (batch.length === 0) return;
    this.#inFlight += 1;
    try {
      const results = await this.#options.flush(batch.map((waiting) => waiting.item));
      batch.forEach((waiting, index) => {
        const result = results[index];
        if (result instanceof Error) waiting.reject(result);
        else waiting.resolve(result as Result);
      });
    } catch (error) {
      for (const waiting of batch) waiting.reject(error);
    } finally {
      this.#inFlight -= 1;
      this.#release(batch);
    }
  }

  #takeBatch(): Waiting<Item, Result>[] {
    const maxBytes = this.#options.maxBytes ?? Number.POSITIVE_INFINITY;
    let count = 0;
    let sizeBytes = 0;
    for (const waiting of this.#waiting) {
      if (count === this.#options.maxItems || (count > 0 && sizeBytes + waiting.sizeBytes > maxBytes)) break;
      count += 1;
      sizeBytes += waiting.sizeBytes;
    }
    return this.#waiting.splice(0, count);
  }

  #release(batch: readonly Waiting<Item, Result>[]): void {
    this.#pendingItems -= batch.length;
    for (const waiting of batch) this.#pendingBytes -= waiting.sizeBytes;
    if (this.#waiting.length > 0) this.#schedule();
    if (this.#pendingItems === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}
