import type { Arrival } from '../operations/calls/awaited-call.ts';
import type { AwaitedCalls } from '../operations/calls/awaited-calls.ts';
import type { HeldReplies } from '../operations/calls/promote.ts';
import { eventOfReply, eventOfUnreadable } from '../operations/events.ts';
import type { Correlation, UnreadableReply } from '../operations/reply.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Counter, Metrics } from '../runtime/metrics.ts';
import { CatchUp } from './catch-up.ts';
import type { Forwarder } from './forwarder.ts';
import { PartitionCursor, type QueueBounds } from './partition-cursor.ts';
import type { LeaseRow, ReplyBatch, ReplySource } from './ports.ts';
import type { Settler } from './settler.ts';

export interface ReplyLoopOptions {
  readonly bootId: string;
  readonly queue: QueueBounds;
}

export interface ReplyLoopDeps {
  readonly calls: AwaitedCalls;
  readonly settler: Settler;
  readonly forwarder: Forwarder;
  readonly source: Pick<ReplySource, 'reread' | 'canReread'>;
  readonly clock: Clock;
  readonly nowMs: () => number;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** What becomes of a reply that no call in memory wants. */
type Fate = 'settle' | 'unclaimed' | 'rehome';

/**
 * Routes every reply that was read: to the call that waits for it, to settlement, to its home partition, to the dead
 * letters, or nowhere. Synchronous, so that a batch costs no turn of the event loop and its order is kept. It never waits
 * for a slow database: where settlement has no room, replies are dropped here and read again later.
 */
export class ReplyLoop implements HeldReplies {
  readonly #options: ReplyLoopOptions;
  readonly #deps: ReplyLoopDeps;
  readonly #calls: AwaitedCalls;
  readonly #cursors = new Map<number, PartitionCursor>();
  readonly #catchUps = new Map<number, CatchUp>();
  readonly #read: Counter;

  constructor(options: ReplyLoopOptions, deps: ReplyLoopDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#calls = deps.calls;
    this.#read = deps.metrics.counter('sluice_replies_total', 'Replies read, by what became of them.', ['fate']);
  }

  /** Begins to settle a partition whose lease was taken. */
  open(lease: LeaseRow): PartitionCursor {
    this.close(lease.partition);
    const cursor = new PartitionCursor(lease.partition, lease.fence, lease.nextOffset, this.#options.queue);
    this.#cursors.set(lease.partition, cursor);
    return cursor;
  }

  /** The lease is lost: another instance settles what is not settled. */
  close(partition: number): void {
    this.#cursors.get(partition)?.abandon();
    this.#cursors.delete(partition);
    void this.#catchUps.get(partition)?.stop();
    this.#catchUps.delete(partition);
  }

  /** Nothing more is settled here: what is left is read again by the next owner. */
  async closeAll(): Promise<void> {
    const catchUps = [...this.#catchUps.values()];
    for (const partition of [...this.#cursors.keys()]) this.close(partition);
    await Promise.all(catchUps.map((catchUp) => catchUp.stop()));
  }

  cursor(partition: number): PartitionCursor | undefined {
    return this.#cursors.get(partition);
  }

  cursors(): Iterable<PartitionCursor> {
    return this.#cursors.values();
  }

  /** Rows of calls that ended may be open again. */
  lookUpForgotten(): void {
    this.#calls.lookUpForgotten();
  }

  /** Replies that came while the heartbeat was the writer of their partition found it busy: nobody else settles them. */
  settleWaiting(): void {
    for (const cursor of this.#cursors.values()) this.#deps.settler.kick(cursor);
  }

  onBatch(batch: ReplyBatch): Promise<void> | undefined {
    const cursor = this.#cursors.get(batch.partition);
    for (const reply of batch.replies) this.#route({ kind: 'reply', reply }, reply.correlation, cursor);
    for (const reply of batch.unreadable) this.#routeUnreadable(reply, cursor);
    if (cursor === undefined) return undefined;
    cursor.advanceTo(batch.nextOffset);
    this.#deps.settler.kick(cursor);
    if (cursor.gap !== null) this.#catchUpLater(cursor);
    return this.#deps.source.canReread ? undefined : cursor.room();
  }

  settle(arrivals: readonly Arrival[]): void {
    for (const arrival of arrivals) {
      const cursor = this.#cursors.get(arrival.reply.position.partition);
      if (cursor === undefined) continue;
      this.#enqueue(arrival, cursor);
      this.#deps.settler.kick(cursor);
    }
  }

  drop(arrivals: readonly Arrival[]): void {
    for (const { reply } of arrivals) this.#cursors.get(reply.position.partition)?.unpin(reply.position.offset);
  }

  #route(arrival: Arrival, correlation: Correlation, cursor: PartitionCursor | undefined): void {
    const verdict = this.#calls.get(correlation.operationId)?.offer(arrival) ?? this.#judge(arrival, correlation);
    this.#read.add(1, verdict);
    if (cursor === undefined) return;
    if (verdict === 'held') this.#pin(arrival, cursor);
    else if (verdict === 'rehome') this.#rehome(arrival, correlation, cursor);
    else if (verdict === 'settle') this.#admit(arrival, cursor);
  }

  /** It has no other reader: what cannot be read is kept for people, and ends the operation that it names. */
  #routeUnreadable(reply: UnreadableReply, cursor: PartitionCursor | undefined): void {
    if (reply.correlation === null) this.#read.add(1, 'unreadable');
    else this.#route({ kind: 'unreadable', reply }, reply.correlation, cursor);
    if (cursor === undefined || cursor.hasPassed(reply.position.offset)) return;
    // A re-homed one was buried where it came first.
    if (!reply.isRehomed) this.#bury(reply, cursor);
  }

  #pin({ reply }: Arrival, cursor: PartitionCursor): void {
    cursor.pin(reply.position.offset);
    const superseded = this.#calls.get((reply.correlation as Correlation).operationId)?.takeSuperseded();
    if (superseded) cursor.unpin(superseded.reply.position.offset);
  }

  /**
   * A call of this boot has a row, or is over. Of another boot's call only its home can tell, where it may still wait: so a
   * reply that came elsewhere goes there, without a look-up, once.
   */
  #judge({ reply }: Arrival, { unrecordedBy, homePartition }: Correlation): Fate {
    if (unrecordedBy === null) return 'settle';
    if (unrecordedBy === this.#options.bootId) return this.#calls.forgotRecorded ? 'settle' : 'unclaimed';
    return homePartition === reply.position.partition || reply.isRehomed ? 'settle' : 'rehome';
  }

  #rehome(arrival: Arrival, { homePartition }: Correlation, cursor: PartitionCursor): void {
    const { offset } = arrival.reply.position;
    if (cursor.hasPassed(offset)) return;
    if (this.#reserveForward(offset, cursor)) this.#sendHome(arrival, homePartition, cursor);
  }

  /** What its home may not have is settled here: the look-up that its home would make. */
  #sendHome(arrival: Arrival, homePartition: number, cursor: PartitionCursor): void {
    const { offset } = arrival.reply.position;
    this.#deps.forwarder.rehome(arrival.reply, homePartition, (isSent) => {
      if (!isSent && cursor.alive) this.#enqueue(arrival, cursor);
      cursor.completeForward(offset);
      this.#deps.settler.kick(cursor);
    });
  }

  #bury(reply: UnreadableReply, cursor: PartitionCursor): void {
    const { offset } = reply.position;
    if (this.#reserveForward(offset, cursor)) {
      this.#deps.forwarder.bury(reply, () => cursor.completeForward(offset));
    }
  }

  #reserveForward(offset: bigint, cursor: PartitionCursor): boolean {
    const { forwarder, source } = this.#deps;
    // A channel that cannot be read again is in this process: it takes a record at once.
    const hasRoom = forwarder.hasRoom || !source.canReread;
    if (hasRoom) cursor.forward(offset);
    else cursor.openGap(offset);
    return hasRoom;
  }

  /** Into the queue of its partition, or, without room and behind what found none, into the gap. */
  #admit(arrival: Arrival, cursor: PartitionCursor): void {
    const { offset } = arrival.reply.position;
    // The source was moved back over replies that are queued or settled already.
    if (cursor.hasPassed(offset)) return;
    const isFull = this.#deps.source.canReread && !cursor.hasRoom;
    if (cursor.gap !== null || isFull) cursor.openGap(offset);
    else this.#enqueue(arrival, cursor);
  }

  #enqueue(arrival: Arrival, cursor: PartitionCursor): void {
    const { correlation, position } = arrival.reply;
    const sizeBytes = arrival.kind === 'reply' ? (arrival.reply.value?.byteLength ?? 0) : 0;
    const nowMs = this.#deps.nowMs();
    const event =
      arrival.kind === 'reply' ? eventOfReply(arrival.reply, nowMs) : eventOfUnreadable(arrival.reply, nowMs);
    const { operationId } = correlation as Correlation;
    cursor.enqueue({ operationId, offset: position.offset, sizeBytes, event });
  }

  // ---- what was dropped for want of room -------------------------------------------------------------------------

  #catchUpLater(cursor: PartitionCursor): void {
    if (this.#catchUps.get(cursor.partition)?.isOver === false) return;
    const { source, forwarder, clock, logger } = this.#deps;
    const onBatch = (batch: ReplyBatch, of: PartitionCursor) => this.#readAgain(batch, of);
    this.#catchUps.set(cursor.partition, new CatchUp(cursor, { source, forwarder, clock, logger, onBatch }));
  }

  /**
   * Calls that waited have had their reply from the first reading. What was sent on then is sent on again: a copy more is
   * harmless, for a call takes one answer and an operation one end.
   */
  #readAgain(batch: ReplyBatch, cursor: PartitionCursor): boolean {
    const from = cursor.gap as bigint;
    const arrivals: Arrival[] = [
      ...batch.replies.map((reply): Arrival => ({ kind: 'reply', reply })),
      ...batch.unreadable.map((reply): Arrival => ({ kind: 'unreadable', reply })),
    ];
    for (const arrival of arrivals) {
      const { offset } = arrival.reply.position;
      // Past the first reader it must not go: calls there have not been offered their replies yet, nor held them.
      if (offset >= from && cursor.hasPassed(offset)) this.#takeUp(arrival, cursor);
    }
    // In one turn with the look at the first reader's position: from here on that one drops nothing again.
    const hasMet = cursor.advanceGap(batch.nextOffset);
    this.#deps.settler.kick(cursor);
    return hasMet;
  }

  #takeUp(arrival: Arrival, cursor: PartitionCursor): void {
    const { correlation } = arrival.reply;
    if (arrival.kind === 'unreadable' && !arrival.reply.isRehomed) this.#forwardAgain(arrival, cursor, null);
    if (correlation === null) return;
    const call = this.#calls.get(correlation.operationId);
    if (call !== undefined && call.state !== 'recorded') return;
    const fate = call === undefined ? this.#judge(arrival, correlation) : 'settle';
    if (fate === 'rehome') this.#forwardAgain(arrival, cursor, correlation.homePartition);
    else if (fate === 'settle') this.#enqueue(arrival, cursor);
  }

  #forwardAgain(arrival: Arrival, cursor: PartitionCursor, homePartition: number | null): void {
    const { offset } = arrival.reply.position;
    cursor.forward(offset);
    if (homePartition !== null) this.#sendHome(arrival, homePartition, cursor);
    else if (arrival.kind === 'unreadable') {
      this.#deps.forwarder.bury(arrival.reply, () => cursor.completeForward(offset));
    }
  }
}
