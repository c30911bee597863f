import type { ReplyBatch } from '../replies/ports.ts';

/** Batches of one partition that were read and not yet taken; at the bound the partition is not fetched any more. */
const MAX_WAITING_BATCHES = 4;

/**
 * The batches of one adopted partition on their way to the reply loop, one at a time. kafkajs fetches nothing more from a
 * broker while one batch is being handled, so handling may not wait: what the reply loop is not ready for waits here, and
 * a partition that falls behind is paused alone.
 */
export class ReplyLane {
  readonly partition: number;
  readonly #deliver: (batch: ReplyBatch) => Promise<void> | void;
  readonly #onFull: () => void;
  readonly #onDrained: () => void;
  /** Where fetching goes on: past all that is waiting here. Null where the partition is abandoned. */
  #position: bigint | null = null;
  #waiting: ReplyBatch[] = [];
  #isDelivering = false;
  #isFull = false;

  constructor(
    partition: number,
    hooks: {
      deliver: (batch: ReplyBatch) => Promise<void> | void;
      onFull: () => void;
      onDrained: () => void;
    },
  ) {
    this.partition = partition;
    this.#deliver = hooks.deliver;
    this.#onFull = hooks.onFull;
    this.#onDrained = hooks.onDrained;
  }

  get position(): bigint | null {
    return this.#position;
  }

  /** Whether the partition is to be fetched now. */
  get isOpen(): boolean {
    return this.#position !== null && !this.#isFull;
  }

  /** Reads on from here; what waits is forgotten, it is read again or not wanted any more. */
  move(position: bigint | null): void {
    this.#position = position;
    this.#waiting = [];
    this.#isFull = false;
  }

  push(batch: ReplyBatch): void {
    this.#position = batch.nextOffset;
    this.#waiting.push(batch);
    this.#run();
    if (this.#waiting.length < MAX_WAITING_BATCHES || this.#isFull) return;
    this.#isFull = true;
    this.#onFull();
  }

  /** Synchronous as long as the reply loop is: a reply reaches its caller in the turn that read it from the socket. */
  #run(): void {
    while (!this.#isDelivering) {
      const batch = this.#waiting.shift();
      if (batch === undefined) {
        this.#reopen();
        return;
      }
      const taken = this.#deliver(batch);
      if (taken) {
        this.#isDelivering = true;
        void taken.finally(() => {
          this.#isDelivering = false;
          this.#run();
        });
      }
    }
  }

  #reopen(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#onDrained();
  }
}
