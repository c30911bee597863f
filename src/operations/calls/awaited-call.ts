import type { PublishReceipt } from '../channel-ports.ts';
import type { Progress } from '../operation.ts';
import { endsCommand, type Reply, type UnreadableReply } from '../reply.ts';

/**
 * States of a call that waits in memory, without a row. `waiting` takes replies; `answered` and `ended` take no more (its
 * caller has an answer, or none is owed); `promoting` holds replies while a row is being inserted; `recorded` has a row,
 * and its replies belong to settlement.
 */
export type CallState = 'waiting' | 'answered' | 'promoting' | 'recorded' | 'ended';

/** What the reply loop must do with a reply that it offered. */
export type OfferVerdict =
  /** The call has it; nothing is owed to the store. */
  | 'taken'
  /** The call holds it while it is being promoted: the read position must not pass it. */
  | 'held'
  /** The call has a row: settle it. */
  | 'settle'
  /** Nobody wants it. */
  | 'stale';

export type Arrival =
  | { readonly kind: 'reply'; readonly reply: Reply }
  | { readonly kind: 'unreadable'; readonly reply: UnreadableReply };

export type CallEnd =
  | Arrival
  /** The wait is over. */
  | { readonly kind: 'expired' }
  /** The caller went away. */
  | { readonly kind: 'gone' }
  /** The channel did not take the command. */
  | { readonly kind: 'unsent'; readonly error: unknown };

/**
 * One call that waits for replies to a command that was sent without a row. All of its methods are synchronous, so every
 * race between reply, expiry, promotion, publish error and a caller that leaves is decided by which is called first.
 */
export class AwaitedCall {
  readonly id: string;
  /** Of the request: what the call holds in memory. */
  readonly sizeBytes: number;
  #state: CallState = 'waiting';
  /** Replies that nobody has pulled yet. A unary call has at most one; a stream's bound comes with streams. */
  readonly #queue: CallEnd[] = [];
  #pull: ((end: CallEnd) => void) | null = null;
  /** At most the newest sign of life and the first end: an outage may last, and a worker may go on reporting. */
  #held: Arrival[] = [];
  #superseded: Arrival | null = null;
  #progress: Progress | null = null;
  #sawSignOfLife = false;
  #signAtMs: number | null = null;
  #published: PublishReceipt | null = null;

  constructor(id: string, sizeBytes = 0) {
    this.id = id;
    this.sizeBytes = sizeBytes;
  }

  get state(): CallState {
    return this.#state;
  }

  /** The last progress that came while waiting: the row takes it along. */
  get progress(): Progress | null {
    return this.#progress;
  }

  get sawSignOfLife(): boolean {
    return this.#sawSignOfLife;
  }

  /** When the last sign of life was sent, by its record's timestamp, Unix ms; null where none came. */
  get signAtMs(): number | null {
    return this.#signAtMs;
  }

  /** Where the record stands; null until the broker has acked. */
  get published(): PublishReceipt | null {
    return this.#published;
  }

  markPublished(receipt: PublishReceipt): void {
    this.#published = receipt;
  }

  /** Called by the reply loop, in the order of the partition. */
  offer(arrival: Arrival): OfferVerdict {
    switch (this.#state) {
      case 'recorded':
        return 'settle';
      case 'promoting':
        return this.#hold(arrival);
      case 'waiting':
        this.#take(arrival);
        return 'taken';
      default:
        return 'stale';
    }
  }

  /** The next arrival or end. One puller at a time. */
  take(): Promise<CallEnd> {
    const next = this.#queue.shift();
    if (next) return Promise.resolve(next);
    return new Promise((resolve) => {
      this.#pull = resolve;
    });
  }

  /** The wait is over. Ignored once an answer is here: it goes out. */
  expire(): void {
    this.#end({ kind: 'expired' });
  }

  leave(): void {
    this.#end({ kind: 'gone' });
  }

  failToPublish(error: unknown): void {
    this.#end({ kind: 'unsent', error });
  }

  /** From now on replies are held. False where the call is no longer waiting: there is nothing to promote. */
  beginPromotion(): boolean {
    if (this.#state !== 'waiting') return false;
    this.#state = 'promoting';
    return true;
  }

  /** The row is committed. Returns what was held, which settlement must now take. */
  completePromotion(): readonly Arrival[] {
    this.#state = 'recorded';
    return this.#held.splice(0);
  }

  /** There is no row and will be none. Returns what was held: an answer, if one ended the command. */
  abandonPromotion(): readonly Arrival[] {
    this.#state = 'ended';
    return this.#held.splice(0);
  }

  /** Held replies that end the command, for a caller who cannot be given a row. */
  heldAnswer(): Arrival | null {
    return this.#held.find(isEnd) ?? null;
  }

  /** Nobody waits any more and no row is wanted. */
  close(): void {
    if (this.#state === 'waiting') this.#state = 'ended';
  }

  /** A held sign of life that a newer one has replaced: the read position need not wait for it any more. */
  takeSuperseded(): Arrival | null {
    const superseded = this.#superseded;
    this.#superseded = null;
    return superseded;
  }

  #hold(arrival: Arrival): OfferVerdict {
    if (this.#held.some((held) => isSame(held, arrival))) return 'held';
    if (this.heldAnswer() !== null) return 'stale';
    if (!isEnd(arrival)) this.#superseded = this.#held.pop() ?? null;
    this.#held.push(arrival);
    return 'held';
  }

  #take(arrival: Arrival): void {
    this.#sawSignOfLife = true;
    if (arrival.kind === 'reply' && !isEnd(arrival)) {
      this.#signAtMs = arrival.reply.timestampMs;
      this.#progress = arrival.reply.progress ?? this.#progress;
      return;
    }
    this.#state = 'answered';
    this.#deliver(arrival);
  }

  /** An end leaves the state `waiting`: a promotion may follow an expiry. It is told once. */
  #end(end: CallEnd): void {
    if (this.#state === 'waiting') this.#deliver(end);
  }

  #deliver(end: CallEnd): void {
    const pull = this.#pull;
    this.#pull = null;
    if (pull) pull(end);
    else this.#queue.push(end);
  }
}

/** Read again, after the source was moved back. */
function isSame(one: Arrival, other: Arrival): boolean {
  const [here, there] = [one.reply.position, other.reply.position];
  return here.partition === there.partition && here.offset === there.offset;
}

function isEnd(arrival: Arrival): boolean {
  return arrival.kind === 'unreadable' || endsCommand(arrival.reply.kind);
}
