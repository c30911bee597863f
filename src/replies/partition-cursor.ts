import type { OperationEvent } from '../operations/ports.ts';

/** A reply on its way to settlement. */
export interface Settlement {
  readonly operationId: string;
  readonly offset: bigint;
  /** Null where it changes no state but must still be passed. */
  readonly event: OperationEvent | null;
}

/**
 * The read position of one leased reply partition.
 *
 * Invariants: `committed` is what the lease row says; `position` is past the last reply routed; an offset is outstanding
 * while its reply is queued, in a settling transaction, or held by a call that is being promoted; the row never moves past
 * the lowest outstanding offset. One writer at a time: a settling transaction or the heartbeat.
 */
export class PartitionCursor {
  readonly partition: number;
  readonly fence: bigint;
  #committed: bigint;
  #position: bigint;
  readonly #outstanding = new Set<bigint>();
  #queue: Settlement[] = [];
  #writing = false;
  #roomWaiters: (() => void)[] = [];
  readonly #maxQueued: number;
  /** False once the lease is lost: what is still queued belongs to the next owner, who reads it again. */
  alive = true;

  constructor(partition: number, fence: bigint, nextOffset: bigint, maxQueued: number) {
    this.partition = partition;
    this.fence = fence;
    this.#committed = nextOffset;
    this.#position = nextOffset;
    this.#maxQueued = maxQueued;
  }

  get committed(): bigint {
    return this.#committed;
  }

  get queued(): number {
    return this.#queue.length;
  }

  get writing(): boolean {
    return this.#writing;
  }

  /** Replies below were routed before the source was moved back: they are known. */
  hasPassed(offset: bigint): boolean {
    return offset < this.#position;
  }

  advanceTo(nextOffset: bigint): void {
    if (nextOffset > this.#position) this.#position = nextOffset;
  }

  /** The reply at this offset is held: nothing may pass it. */
  pin(offset: bigint): void {
    this.#outstanding.add(offset);
  }

  unpin(offset: bigint): void {
    this.#outstanding.delete(offset);
  }

  enqueue(settlement: Settlement): void {
    this.#outstanding.add(settlement.offset);
    this.#queue.push(settlement);
  }

  /** Takes up to `maxItems` for a transaction and becomes its writer. */
  beginSettling(maxItems: number): Settlement[] {
    this.#writing = true;
    return this.#queue.splice(0, maxItems);
  }

  /** Where the row may go once these are settled. */
  offsetAfter(batch: readonly Settlement[]): bigint {
    const settled = new Set(batch.map((settlement) => settlement.offset));
    let lowest = this.#position;
    for (const offset of this.#outstanding) if (offset < lowest && !settled.has(offset)) lowest = offset;
    return lowest;
  }

  completeSettling(batch: readonly Settlement[], nextOffset: bigint): void {
    this.#writing = false;
    this.#committed = nextOffset;
    for (const settlement of batch) this.#outstanding.delete(settlement.offset);
    if (this.#queue.length < this.#maxQueued) for (const resolve of this.#roomWaiters.splice(0)) resolve();
  }

  /** The transaction did not happen, or not for certain: the batch goes first again. */
  failSettling(batch: readonly Settlement[]): void {
    this.#writing = false;
    this.#queue = [...batch, ...this.#queue];
  }

  /** Progress over replies that no row wants, for the heartbeat; null where there is none or a settle is in flight. */
  beginProgress(): { readonly expectedOffset: bigint; readonly nextOffset: bigint } | null {
    if (this.#writing || this.#queue.length > 0) return null;
    const nextOffset = this.offsetAfter([]);
    if (nextOffset <= this.#committed) return null;
    this.#writing = true;
    return { expectedOffset: this.#committed, nextOffset };
  }

  completeProgress(nextOffset: bigint | null): void {
    this.#writing = false;
    if (nextOffset !== null) this.#committed = nextOffset;
  }

  /** After a transaction of unknown outcome: what the row really says. */
  adoptCommitted(nextOffset: bigint): void {
    this.#committed = nextOffset;
  }

  /** Resolves once the queue has room; at once where it has, or where the lease is lost. */
  room(): Promise<void> | undefined {
    if (this.#queue.length < this.#maxQueued || !this.alive) return undefined;
    return new Promise((resolve) => this.#roomWaiters.push(resolve));
  }

  abandon(): void {
    this.alive = false;
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
  }
}
