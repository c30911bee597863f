/** A stream of one, without the machinery of a generator: what a unary call sends and gets. */
export class Only<Item> implements AsyncIterable<Item> {
  readonly #item: Item;

  constructor(item: Item) {
    this.#item = item;
  }

  [Symbol.asyncIterator](): AsyncIterator<Item> {
    let done = false;
    return {
      next: () => {
        if (done) return Promise.resolve({ done: true, value: undefined });
        done = true;
        return Promise.resolve({ done: false, value: this.#item });
      },
    };
  }
}
