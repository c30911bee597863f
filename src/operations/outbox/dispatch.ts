import { backoffDelays, pause } from '../../runtime/backoff.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import { Trouble } from '../../runtime/trouble.ts';
import { type CommandPublisher, type CommandRecord, PublishError, type PublishReceipt } from '../channel-ports.ts';
import { eventOf } from '../events.ts';
import { PUBLISH_DETAIL } from '../failures.ts';
import type { OperationError } from '../operation.ts';
import type { ChangeWriter } from './change-writer.ts';
import type { DispatchMarks } from './dispatch-marks.ts';
import { type DispatchBounds, type DispatchRoom, DispatchSlots } from './dispatch-slots.ts';
import type { Outbox } from './outbox-port.ts';

const REPEAT = { firstMs: 200, maxMs: 5000 };
/** One call of the channel's own repeats; between two of them the operation's deadline is looked at. */
const PUBLISH_ROUND_MS = 10_000;
const GIVE_BACK_BATCH = 500;

/** A recorded command to be put on the log. */
export interface Dispatch {
  readonly operationId: string;
  /** Of this attempt. */
  readonly record: CommandRecord;
  readonly attempt: number;
  /** Unix ms; a record that is not on the log by then is not sent any more. */
  readonly deadlineMs: number;
  /** One-way commands are done at the ack. */
  readonly endsAtAck: boolean;
  /** Another one of its key may wait for this one to be on the log. */
  readonly ordered: boolean;
  /** An earlier claimer may have sent it. */
  readonly maybeSent: boolean;
}

/** A command on its way to the log. */
interface Sending {
  /** A send that has ended may have reached a log. */
  maybeSent: boolean;
  /** A send is: while it lasts nobody knows. */
  isUnderWay: boolean;
  /** Its caller took it back: it is not sent again. */
  isWithdrawn: boolean;
  /** The pause between two tries, where it is in one. */
  endPause: () => void;
}

export interface DispatcherDeps {
  readonly bootId: string;
  readonly publisher: CommandPublisher;
  readonly changeWriter: ChangeWriter;
  readonly marks: DispatchMarks;
  readonly outbox: Pick<Outbox, 'giveBack'>;
  readonly clock: Clock;
  readonly nowMs: () => number;
  readonly logger: Logger;
}

/**
 * Publishes the records of recorded operations until the broker has them, and marks the rows. Bounded: a slot is
 * reserved before the row is inserted, so that no more is promised than is held. What is not on the log at stop is given
 * back to the outbox, for another instance.
 */
export class Dispatcher {
  readonly #deps: DispatcherDeps;
  readonly #slots: DispatchSlots;
  readonly #trouble: Trouble;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  /** What is being published, by operation. */
  readonly #sendings = new Map<string, Sending>();
  readonly #leftOver: { readonly operationId: string; readonly maybeSent: boolean }[] = [];

  constructor(bounds: DispatchBounds, deps: DispatcherDeps) {
    this.#deps = deps;
    this.#slots = new DispatchSlots(bounds);
    this.#trouble = new Trouble('recorded commands cannot be published and are repeated', deps.logger);
  }

  get pending(): number {
    return this.#slots.count;
  }

  /** What may still be taken up. */
  room(): DispatchRoom {
    return this.#stop.signal.aborted ? { items: 0, bytes: 0, fullTopics: [] } : this.#slots.room();
  }

  holds(operationId: string): boolean {
    return this.#slots.has(operationId);
  }

  /** Throws `Failure` `OVERLOADED` at the bounds. Every reservation ends in `dispatch`, `follow` or `giveBack`. */
  reserve(record: CommandRecord, operationId: string): void {
    this.#slots.reserve(record, operationId);
  }

  giveBack(record: CommandRecord, operationId: string): void {
    this.#slots.release(record, operationId);
  }

  /** Publishes in the background. Resolves once this instance has no more to do with it; never rejects. */
  dispatch(work: Dispatch): Promise<void> {
    return this.#track(work, null);
  }

  /** The same for a command whose first publish is under way: a promoted call. */
  follow(work: Dispatch, firstPublish: Promise<PublishReceipt>): Promise<void> {
    return this.#track(work, firstPublish);
  }

  /** Sends it no more. True where this instance held it and no send of it can have reached a log. */
  withdraw(operationId: string): boolean {
    const sending = this.#sendings.get(operationId);
    if (sending === undefined) return false;
    sending.isWithdrawn = true;
    sending.endPause();
    return !sending.isUnderWay && !sending.maybeSent;
  }

  /** Waits for what is under way; what is not on the log then is given back. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#deps.marks.hurry();
    await Promise.all(this.#running);
    for (let start = 0; start < this.#leftOver.length; start += GIVE_BACK_BATCH) {
      const rows = this.#leftOver.slice(start, start + GIVE_BACK_BATCH);
      await this.#deps.outbox.giveBack(this.#deps.bootId, rows).catch((error) => {
        this.#deps.logger.warn(
          { cause: String(error) },
          'unpublished commands were not given back; they are found later',
        );
      });
    }
  }

  #track(work: Dispatch, firstPublish: Promise<PublishReceipt> | null): Promise<void> {
    const { operationId, record, maybeSent } = work;
    const sending: Sending = { maybeSent, isUnderWay: true, isWithdrawn: false, endPause: () => undefined };
    this.#sendings.set(operationId, sending);
    const tracked = this.#publishAndMark(work, sending, firstPublish).finally(() => {
      this.giveBack(record, operationId);
      if (this.#sendings.get(operationId) === sending) this.#sendings.delete(operationId);
      this.#running.delete(tracked);
    });
    this.#running.add(tracked);
    return tracked;
  }

  async #publishAndMark(work: Dispatch, sending: Sending, firstPublish: Promise<PublishReceipt> | null): Promise<void> {
    const { operationId } = work;
    let publish = firstPublish;
    for (const delayMs of backoffDelays(REPEAT)) {
      const leftMs = work.deadlineMs - this.#deps.nowMs();
      if (publish === null && leftMs <= 0) return this.#giveUpLate(work, sending.maybeSent);
      try {
        sending.isUnderWay = true;
        const receipt = await (publish ?? this.#publish(work, leftMs));
        this.#trouble.end();
        return await this.#markDispatched(work, receipt);
      } catch (error) {
        if (!(error instanceof PublishError)) throw error;
        sending.isUnderWay = false;
        sending.maybeSent ||= !error.certainlyNotSent;
        if (error.definite) return await this.#fail(work, error, sending.maybeSent);
        this.#trouble.note({ operationId, problem: error.problem, cause: error.message });
      }
      publish = null;
      await this.#pause(sending, delayMs);
      if (sending.isWithdrawn) return;
      if (this.#stop.signal.aborted) {
        this.#leftOver.push({ operationId, maybeSent: sending.maybeSent });
        return;
      }
    }
  }

  async #pause(sending: Sending, delayMs: number): Promise<void> {
    if (sending.isWithdrawn) return;
    const cut = new AbortController();
    sending.endPause = () => cut.abort();
    await pause(this.#deps.clock, delayMs, AbortSignal.any([cut.signal, this.#stop.signal]));
  }

  #publish(work: Dispatch, leftMs: number): Promise<PublishReceipt> {
    const { publisher, clock } = this.#deps;
    return publisher.publish(work.record, clock.monotonicMs() + Math.min(PUBLISH_ROUND_MS, leftMs));
  }

  /**
   * A worker must not run what nobody waits for any more. It is the chores that end the operation, by the database's clock:
   * one that was never sent at once, which is why the claim is given back; another one when all replies are read.
   */
  async #giveUpLate({ operationId }: Dispatch, maybeSent: boolean): Promise<void> {
    const { bootId, outbox, logger } = this.#deps;
    logger.warn({ operationId, maybeSent }, 'a command is not sent any more, its deadline is over');
    await outbox.giveBack(bootId, [{ operationId, maybeSent }]).catch((error) => {
      logger.debug({ operationId, cause: String(error) }, 'its claim was not given back');
    });
  }

  #markDispatched(work: Dispatch, published: PublishReceipt): Promise<void> {
    const { operationId, attempt } = work;
    const mark = eventOf('dispatched', this.#deps.nowMs(), { published, afterAttempt: attempt });
    if (work.endsAtAck) {
      const events = [mark, eventOf('succeeded', this.#deps.nowMs())];
      return this.#deps.changeWriter.write({ operationId, events });
    }
    if (work.ordered) return this.#deps.changeWriter.write({ operationId, events: [mark] });
    return this.#deps.marks.add(operationId, mark);
  }

  #fail(work: Dispatch, cause: PublishError, maybeSent: boolean): Promise<void> {
    const { bootId, nowMs, changeWriter } = this.#deps;
    const isTooLarge = cause.problem === 'too_large';
    const error: OperationError = {
      code: isTooLarge ? 'REQUEST_TOO_LARGE' : 'CHANNEL_UNAVAILABLE',
      grpcCode: isTooLarge ? 'RESOURCE_EXHAUSTED' : 'UNAVAILABLE',
      message: PUBLISH_DETAIL[cause.problem],
      details: null,
      delivery: maybeSent ? 'unknown' : 'not_sent',
    };
    // Of this attempt: another one may be on its way by now.
    const event = eventOf('failed', nowMs(), { error, by: bootId, afterAttempt: work.attempt });
    return changeWriter.write({ operationId: work.operationId, events: [event] });
  }
}
