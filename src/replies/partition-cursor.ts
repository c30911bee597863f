import type { OperationEvent } from '../operations/store-ports.ts';

/** A reply on its way to settlement. */
export interface Settlement {
  readonly operationId: string;
  readonly offset: bigint;
  /** Of the reply's value: what the queue holds in memory, and the transaction carries. */
  readonly sizeBytes: number;
  /** Null where it changes no state but must still be passed. */
  readonly event: OperationEvent | null;
}

/** Of the replies of one partition that wait for the database; past them the next ones are read again later. */
export interface QueueBounds {
  readonly maxItems: number;
  readonly maxBytes: number;
}

/**
 * The read position of one leased reply partition.
 *
 * Invariants: `committed` is what the lease row says; `position` is past the last reply routed; an offset is outstanding
 * while its reply is queued, in a settling transaction, held by a call that is being promoted, or on its way to another
 * topic; the row never moves past the lowest outstanding offset, nor past the gap. One writer at a time: a settling
 * transaction or the heartbeat.
 *
 * The gap begins at the first reply that was dropped for want of room; from there to `position` everything is read a second
 * time. It closes when the second reader has come up to the first.
 */
export class PartitionCursor {
  readonly partition: number;
  readonly fence: bigint;
  #committed: bigint;
  #position: bigint;
  readonly #outstanding = new Set<bigint>();
  /** Replies on their way to other topics, with how many copies of each; they may be queued for settlement too. */
  readonly #forwarded = new Map<bigint, number>();
  #gap: bigint | null = null;
  #queue: Settlement[] = [];
  #queuedBytes = 0;
  #writing = false;
  #roomWaiters: (() => void)[] = [];
  readonly #bounds: QueueBounds;
  /** False once the lease is lost: what is still queued belongs to the next owner, who reads it again. */
  alive = true;

  constructor(partition: number, fence: bigint, nextOffset: bigint, bounds: QueueBounds) {
    this.partition = partition;
    this.fence = fence;
    this.#committed = nextOffset;
    this.#position = nextOffset;
    this.#bounds = bounds;
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

  get position(): bigint {
    return this.#position;
  }

  /** The first offset that was dropped and is not read again yet; null where nothing was. */
  get gap(): bigint | null {
    return this.#gap;
  }

  /** No room for the reply at this offset: from here on it is read again. */
  openGap(offset: bigint): void {
    if (this.#gap === null || offset < this.#gap) this.#gap = offset;
  }

  /** The second reader has come so far. True where it has met the first: nothing is missing any more. */
  advanceGap(nextOffset: bigint): boolean {
    if (this.#gap !== null && nextOffset > this.#gap) this.#gap = nextOffset;
    if (this.#gap !== null && this.#gap >= this.#position) this.#gap = null;
    return this.#gap === null;
  }

  forward(offset: bigint): void {
    this.#forwarded.set(offset, (this.#forwarded.get(offset) ?? 0) + 1);
  }

  completeForward(offset: bigint): void {
    const left = (this.#forwarded.get(offset) ?? 1) - 1;
    if (left === 0) this.#forwarded.delete(offset);
    else this.#forwarded.set(offset, left);
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
    this.#queuedBytes += settlement.sizeBytes;
  }

  /** Takes what fits one transaction, at least one reply, and becomes its writer. */
  beginSettling(maxItems: number, maxBytes: number): Settlement[] {
    this.#writing = true;
    let count = 0;
    let sizeBytes = 0;
    for (const settlement of this.#queue) {
      if (count === maxItems || (count > 0 && sizeBytes + settlement.sizeBytes > maxBytes)) break;
      count += 1;
      sizeBytes += settlement.sizeBytes;
    }
    this.#queuedBytes -= sizeBytes;
    return this.#queue.splice(0, count);
  }

  /** Where the row may go once these are settled. */
  offsetAfter(batch: readonly Settlement[]): bigint {
    const settled = new Set(batch.map((settlement) => settlement.offset));
    let lowest = this.#position;
    for (const offset of this.#outstanding) if (offset < lowest && !settled.has(offset)) lowest = offset;
    for (const offset of this.#forwarded.keys()) if (offset < lowest) lowest = offset;
    return this.#gap !== null && this.#gap < lowest ? this.#gap : lowest;
  }

  completeSettling(batch: readonly Settlement[], nextOffset: bigint): void {
    this.#writing = false;
    this.#committed = nextOffset;
    for (const settlement of batch) this.#outstanding.delete(settlement.offset);
    if (this.hasRoom) for (const resolve of this.#roomWaiters.splice(0)) resolve();
  }

  /** The transaction did not happen, or not for certain: the batch goes first again. */
  failSettling(batch: readonly Settlement[]): void {
    this.#writing = false;
    this.#queue = [...batch, ...this.#queue];
    for (const settlement of batch) this.#queuedBytes += settlement.sizeBytes;
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
    if (this.hasRoom || !this.alive) return undefined;
    return new Promise((resolve) => this.#roomWaiters.push(resolve));
  }

  get hasRoom(): boolean {
    return this.#queue.length < this.#bounds.maxItems && this.#queuedBytes < this.#bounds.maxBytes;
  }

  abandon(): void {
    this.alive = false;
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
  }
}
