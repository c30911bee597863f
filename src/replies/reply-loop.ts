import type { Arrival } from '../operations/awaited-call.ts';
import type { AwaitedCalls } from '../operations/awaited-calls.ts';
import { eventOfReply, eventOfUnreadable } from '../operations/events.ts';
import type { HeldReplies } from '../operations/promote.ts';
import type { Correlation, ReplyPosition } from '../operations/reply.ts';
import type { Counter, Metrics } from '../runtime/metrics.ts';
import { PartitionCursor, type QueueBounds } from './partition-cursor.ts';
import type { LeaseRow, ReplyBatch } from './ports.ts';
import type { Settler } from './settler.ts';

export interface ReplyLoopOptions {
  readonly bootId: string;
  readonly queue: QueueBounds;
}

/**
 * Routes every reply that was read: to the call that waits for it, or to settlement, or nowhere. Synchronous, so that a
 * batch costs no turn of the event loop and its order is kept.
 */
export class ReplyLoop implements HeldReplies {
  readonly #options: ReplyLoopOptions;
  readonly #calls: AwaitedCalls;
  readonly #settler: Settler;
  readonly #nowMs: () => number;
  readonly #cursors = new Map<number, PartitionCursor>();
  readonly #read: Counter;

  constructor(
    options: ReplyLoopOptions,
    deps: { calls: AwaitedCalls; settler: Settler; nowMs: () => number; metrics: Metrics },
  ) {
    this.#options = options;
    this.#calls = deps.calls;
    this.#settler = deps.settler;
    this.#nowMs = deps.nowMs;
    this.#read = deps.metrics.counter('sluice_replies_total', 'Replies read, by what became of them.', ['fate']);
  }

  /** Begins to settle a partition whose lease was taken. */
  open(lease: LeaseRow): PartitionCursor {
    const cursor = new PartitionCursor(lease.partition, lease.fence, lease.nextOffset, this.#options.queue);
    this.#cursors.get(lease.partition)?.abandon();
    this.#cursors.set(lease.partition, cursor);
    return cursor;
  }

  /** The lease is lost: another instance settles what is not settled. */
  close(partition: number): void {
    this.#cursors.get(partition)?.abandon();
    this.#cursors.delete(partition);
  }

  /** Nothing more is settled here: what is left is read again by the next owner. */
  closeAll(): void {
    for (const partition of [...this.#cursors.keys()]) this.close(partition);
  }

  cursor(partition: number): PartitionCursor | undefined {
    return this.#cursors.get(partition);
  }

  cursors(): Iterable<PartitionCursor> {
    return this.#cursors.values();
  }

  /** Replies that came while the heartbeat was the writer of their partition found it busy: nobody else settles them. */
  settleWaiting(): void {
    for (const cursor of this.#cursors.values()) this.#settler.kick(cursor);
  }

  onBatch(batch: ReplyBatch): Promise<void> | undefined {
    const cursor = this.#cursors.get(batch.partition);
    for (const reply of batch.replies) this.#route({ kind: 'reply', reply }, reply.correlation, cursor);
    for (const reply of batch.unreadable) {
      if (reply.correlation === null) this.#read.add(1, 'unreadable');
      else this.#route({ kind: 'unreadable', reply }, reply.correlation, cursor);
    }
    if (cursor === undefined) return undefined;
    cursor.advanceTo(batch.nextOffset);
    this.#settler.kick(cursor);
    return cursor.room();
  }

  settle(arrivals: readonly Arrival[]): void {
    for (const arrival of arrivals) {
      const cursor = this.#cursors.get(arrival.reply.position.partition);
      if (cursor === undefined) continue;
      this.#enqueue(arrival, cursor);
      this.#settler.kick(cursor);
    }
  }

  drop(arrivals: readonly Arrival[]): void {
    for (const { reply } of arrivals) this.#cursors.get(reply.position.partition)?.unpin(reply.position.offset);
  }

  #route(arrival: Arrival, correlation: Correlation, cursor: PartitionCursor | undefined): void {
    const verdict = this.#calls.get(correlation.operationId)?.offer(arrival) ?? this.#judge(correlation);
    this.#read.add(1, verdict);
    if (cursor === undefined) return;
    if (verdict === 'held') this.#pin(arrival, cursor);
    if (verdict === 'settle' && !isKnown(arrival.reply.position, cursor)) this.#enqueue(arrival, cursor);
  }

  #pin({ reply }: Arrival, cursor: PartitionCursor): void {
    cursor.pin(reply.position.offset);
    const superseded = this.#calls.get((reply.correlation as Correlation).operationId)?.takeSuperseded();
    if (superseded) cursor.unpin(superseded.reply.position.offset);
  }

  /** A reply that no call in memory wants: it has a row, unless it answers a call of this very boot that has none. */
  #judge(correlation: Correlation): 'settle' | 'unclaimed' {
    const ours = correlation.unrecordedBy === this.#options.bootId;
    return ours && !this.#calls.forgotRecorded ? 'unclaimed' : 'settle';
  }

  #enqueue(arrival: Arrival, cursor: PartitionCursor): void {
    const { correlation, position } = arrival.reply;
    const sizeBytes = arrival.kind === 'reply' ? (arrival.reply.value?.byteLength ?? 0) : 0;
    const nowMs = this.#nowMs();
    const event =
      arrival.kind === 'reply' ? eventOfReply(arrival.reply, nowMs) : eventOfUnreadable(arrival.reply, nowMs);
    const { operationId } = correlation as Correlation;
    cursor.enqueue({ operationId, offset: position.offset, sizeBytes, event });
  }
}

/** The source was moved back over replies that are already queued or settled. */
function isKnown(position: ReplyPosition, cursor: PartitionCursor): boolean {
  return cursor.hasPassed(position.offset);
}
