import { PublishError, type PublishProblem, type PublishReceipt } from '../operations/channel-ports.ts';
import { Batcher } from '../runtime/batch.ts';
import type { Clock } from '../runtime/clock.ts';
import type { SendFailure } from './kafka-errors.ts';
import type { SendAttempt } from './kafka-sender.ts';
import type { SizedRecord } from './record-size.ts';

/** Without traffic nobody finds out whether it is well again; so long a failure counts as the present state. */
const TROUBLE_MS = 10_000;

/** A record on its way. Settled once; whoever waits holds the promise. */
export interface PendingRecord {
  readonly record: SizedRecord;
  readonly sizeBytes: number;
  /** Monotonic. */
  readonly giveUpAtMs: number;
  readonly resolve: (receipt: PublishReceipt) => void;
  readonly reject: (error: PublishError) => void;
  isSettled: boolean;
  /** Whether any send of it so far may have reached a log. Never goes back to false. */
  maybeSent: boolean;
}

export interface PartitionQueueOptions {
  readonly topic: string;
  readonly partition: number;
  readonly batchRecords: number;
  readonly batchBytes: number;
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  readonly failFastMs: number;
  readonly confirmMs: number;
  readonly clock: Clock;
  readonly send: (records: readonly SizedRecord[]) => SendAttempt;
  /** Asks for fresh metadata after the broker said that topic or partition is not there. True where that is definite. */
  readonly confirmRefusal: () => Promise<boolean>;
}

/**
 * The records for one topic-partition: one `send()` at a time, what comes meanwhile gathers for the next. A failed send
 * is repeated whole, after a pause, so the order holds; a topic-partition that fails holds up no other.
 *
 * After `failFastMs` without a success the queue refuses at once what was certainly not sent, and lets one batch through
 * now and then to find out whether it is well again.
 */
export class PartitionQueue {
  readonly #options: PartitionQueueOptions;
  readonly #batcher: Batcher<PendingRecord, undefined>;
  /** Invariant: submitted and not settled. */
  readonly #pending = new Set<PendingRecord>();
  /** Of the pending ones those that the send under way holds. */
  #sending: {
    readonly items: readonly PendingRecord[];
    readonly attempt: SendAttempt;
    readonly startedMs: number;
  } | null = null;
  /** When the first failure after the last success was. */
  #failingSinceMs: number | null = null;
  #lastFailureMs = 0;
  #nextProbeMs = 0;
  #lastProblem: { problem: PublishProblem; message: string } | null = null;
  #isStopped = false;
  #wake: (() => void) | null = null;

  constructor(options: PartitionQueueOptions) {
    this.#options = options;
    this.#batcher = new Batcher({
      flush: (items) => this.#flush(items),
      maxItems: options.batchRecords,
      maxBytes: options.batchBytes,
      sizeOf: (item) => item.sizeBytes,
      maxPendingItems: Number.MAX_SAFE_INTEGER, // Bounded over all queues, by the publisher.
    });
  }

  /** What keeps this topic-partition from taking commands; null where it is well, or has not been tried for a while. */
  trouble(): string | null {
    const isRecent = this.#options.clock.monotonicMs() - this.#lastFailureMs < TROUBLE_MS;
    return this.#isFailing() && isRecent
      ? `${this.#options.topic}: ${this.#lastProblem?.message ?? 'does not answer'}`
      : null;
  }

  /** Resolves once the queue has let go of the record; settles it before. */
  async submit(item: PendingRecord): Promise<void> {
    const isProbeDue = this.#options.clock.monotonicMs() >= this.#nextProbeMs && this.#batcher.pendingItems === 0;
    if (this.#isStopped || (this.#isFailing() && !isProbeDue)) return this.#refuse(item);
    this.#pending.add(item);
    try {
      await this.#batcher.submit(item);
    } finally {
      this.#pending.delete(item);
    }
  }

  /** Gives up what is past its time, and what waits behind a topic-partition that fails. */
  sweep(): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#sweepSending(nowMs);
    const inSend = new Set(this.#sending?.items);
    const isFailing = this.#isFailing();
    for (const item of this.#pending) {
      if (!inSend.has(item) && (nowMs >= item.giveUpAtMs || (isFailing && !item.maybeSent))) this.#refuse(item);
    }
  }

  /** What was acknowledged is; everything else is given up now. */
  stop(): void {
    this.#isStopped = true;
    this.#wake?.();
    const isWithdrawn = this.#sending?.attempt.withdraw() ?? true;
    const inSend = new Set(this.#sending?.items);
    for (const item of this.#pending) {
      if (inSend.has(item) && !isWithdrawn) item.maybeSent = true;
      this.#refuse(item);
    }
  }

  drain(): Promise<void> {
    return this.#batcher.drain();
  }

  #isFailing(): boolean {
    const { clock, failFastMs } = this.#options;
    const sinceMs = this.#failingSinceMs;
    return sinceMs !== null && clock.monotonicMs() - sinceMs >= failFastMs;
  }

  /**
   * A send that does not even get a connection is taken back: its callers need not wait for that to time out. A request
   * cannot be taken back by halves, so only where all its records are given up.
   */
  #sweepSending(nowMs: number): void {
    const sending = this.#sending;
    if (sending === null) return;
    const open = sending.items.filter((item) => !item.isSettled);
    const isSlow = nowMs - sending.startedMs >= this.#options.failFastMs;
    const late = open.filter((item) => nowMs >= item.giveUpAtMs || (isSlow && !item.maybeSent));
    if (late.length === open.length && late.length > 0 && sending.attempt.withdraw()) {
      this.#noteFailure({ problem: 'unreachable', message: 'no connection to the broker' }, sending.startedMs);
      for (const item of late) this.#refuse(item);
      return;
    }
    for (const item of open) {
      if (nowMs < item.giveUpAtMs) continue;
      item.maybeSent = true;
      this.#refuse(item);
    }
  }

  async #flush(items: readonly PendingRecord[]): Promise<readonly undefined[]> {
    let pauseMs = this.#options.backoffMs;
    for (;;) {
      const open = items.filter((item) => !item.isSettled);
      if (open.length === 0) return items.map(() => undefined);
      await this.#sendOnce(open);
      if (open.every((item) => item.isSettled)) return items.map(() => undefined);
      await this.#pause(pauseMs);
      pauseMs = Math.min(pauseMs * 2, this.#options.maxBackoffMs);
    }
  }

  async #sendOnce(items: readonly PendingRecord[]): Promise<void> {
    if (this.#isStopped) {
      for (const item of items) this.#refuse(item);
      return;
    }
    const attempt = this.#options.send(items.map((item) => item.record));
    this.#sending = { items, attempt, startedMs: this.#options.clock.monotonicMs() };
    const outcome = await attempt.outcome;
    this.#sending = null;
    if (typeof outcome === 'bigint') return this.#acknowledge(items, outcome);
    for (const item of items) item.maybeSent ||= !outcome.certainlyNotSent;
    if (outcome.isRecordAtFault) return await this.#bisect(items, outcome);
    await this.#judge(items, outcome);
  }

  #acknowledge(items: readonly PendingRecord[], firstOffset: bigint): void {
    this.#failingSinceMs = null;
    this.#lastProblem = null;
    const { partition } = this.#options;
    items.forEach((item, index) => {
      if (item.isSettled) return;
      item.isSettled = true;
      item.resolve({ partition, offset: firstOffset + BigInt(index) });
    });
  }

  /** Only the record that is at fault fails; those beside it were refused with it and are sent again, in their order. */
  async #bisect(items: readonly PendingRecord[], failure: SendFailure): Promise<void> {
    if (items.length === 1) return this.#refuseAll(items, failure);
    const middle = items.length >> 1;
    for (const half of [items.slice(0, middle), items.slice(middle)]) {
      const open = half.filter((item) => !item.isSettled);
      if (open.length > 0) await this.#sendOnce(open);
      // What failed for another reason is repeated first: the second half may not overtake it.
      if (half.some((item) => !item.isSettled)) return;
    }
  }

  async #judge(items: readonly PendingRecord[], failure: SendFailure): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    this.#noteFailure(failure, nowMs);
    if (await this.#isDefinite(failure, nowMs)) this.#refuseAll(items, failure);
    this.sweep();
  }

  /** A broker that has just started says such things too: it takes fresh metadata, and time. */
  async #isDefinite(failure: SendFailure, nowMs: number): Promise<boolean> {
    if (failure.problem !== 'unknown_topic' && failure.problem !== 'not_authorized') return false;
    if (await this.#options.confirmRefusal()) return true;
    // Whom we may not write to may still be described to us.
    return failure.problem === 'not_authorized' && nowMs - (this.#failingSinceMs ?? nowMs) >= this.#options.confirmMs;
  }

  #noteFailure(failure: { problem: PublishProblem; message: string }, sinceMs: number): void {
    this.#failingSinceMs ??= sinceMs;
    this.#lastFailureMs = this.#options.clock.monotonicMs();
    this.#nextProbeMs = this.#lastFailureMs + this.#options.maxBackoffMs;
    this.#lastProblem = { problem: failure.problem, message: failure.message };
  }

  #refuseAll(items: readonly PendingRecord[], definite: SendFailure): void {
    for (const item of items) this.#refuse(item, definite);
  }

  #refuse(item: PendingRecord, definite: SendFailure | null = null): void {
    if (item.isSettled) return;
    item.isSettled = true;
    const { topic, partition } = this.#options;
    const { problem, message } = definite ?? this.#reasonOf(item);
    item.reject(
      new PublishError(problem, `partition ${partition} of topic ${topic}: ${message}`, {
        certainlyNotSent: !item.maybeSent,
        definite: definite !== null,
      }),
    );
  }

  #reasonOf(item: PendingRecord): { problem: PublishProblem; message: string } {
    if (this.#isStopped) return { problem: 'unreachable', message: 'the channel is being closed' };
    if (this.#lastProblem !== null) return this.#lastProblem;
    return { problem: 'timed_out', message: item.maybeSent ? 'no ack in time' : 'could not be sent in time' };
  }

  #pause(delayMs: number): Promise<void> {
    if (this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#options.clock.setTimer(resolve, delayMs);
      this.#wake = () => {
        cancel();
        resolve();
      };
    });
  }
}
