import type { Logger } from '../../runtime/log.ts';
import type { PublishReceipt } from '../channel-ports.ts';
import { type Departure, dispatchOf, expiredFailure, newOperation } from '../departure.ts';
import type { Outcome } from '../invocation.ts';
import type { Operation } from '../operation.ts';
import type { Dispatcher } from '../outbox/dispatch.ts';
import { mayBeRecorded, type Recorder } from '../outbox/record.ts';
import { outcomeOfArrival } from '../outcome.ts';
import type { NewOperation } from '../store-ports.ts';
import type { Arrival, AwaitedCall } from './awaited-call.ts';
import type { AwaitedCalls } from './awaited-calls.ts';

/** What becomes of replies that were held while a row was being inserted; the reply loop. */
export interface HeldReplies {
  /** There is a row: settle them. The read position waits for it. */
  settle(arrivals: readonly Arrival[]): void;
  /** There is none: the read position may pass them. */
  drop(arrivals: readonly Arrival[]): void;
}

/**
 * Turns a call whose wait is over into a recorded operation. Until the insert is known to be there or not, replies of
 * the call are held and pin the read position, so that neither a takeover nor a crash can lose one that a row wants.
 */
export class Promoter {
  readonly #bootId: string;
  readonly #recorder: Recorder;
  readonly #dispatcher: Dispatcher;
  readonly #calls: AwaitedCalls;
  readonly #logger: Logger;
  /** Set by the wiring: the reply loop is made of what this class is made of. */
  heldReplies: HeldReplies = { settle: () => undefined, drop: () => undefined };

  constructor(deps: {
    bootId: string;
    recorder: Recorder;
    dispatcher: Dispatcher;
    calls: AwaitedCalls;
    logger: Logger;
  }) {
    this.#bootId = deps.bootId;
    this.#recorder = deps.recorder;
    this.#dispatcher = deps.dispatcher;
    this.#calls = deps.calls;
    this.#logger = deps.logger;
  }

  /** The call must be `promoting`. Answers 202 (`pending`), or what was held where no row can be had, or throws 504. */
  async promote(departure: Departure, call: AwaitedCall, publish: Promise<PublishReceipt>): Promise<Outcome> {
    const row = promotedRow(departure, call, this.#bootId);
    try {
      // What is on the log needs no place among the unpublished.
      if (row.published === null) this.#dispatcher.reserve(departure.record, departure.id);
    } catch {
      return this.#answerWithoutRow(departure, call);
    }
    let operation: Operation;
    try {
      operation = await this.#recorder.promote(row, departure.home);
    } catch (error) {
      if (!mayBeRecorded(error)) return this.#giveUp(departure, call, error);
      void this.#promoteUntilKnown(departure, call, row, publish);
      throw expiredFailure(departure.plan, null);
    }
    this.#complete(departure, call, row, publish);
    departure.invocation.onRecorded?.(operation);
    return { kind: 'pending', operation };
  }

  #complete(departure: Departure, call: AwaitedCall, row: NewOperation, publish: Promise<PublishReceipt>): void {
    const held = call.completePromotion();
    this.#calls.keepRecorded(call);
    if (row.published === null) void this.#dispatcher.follow(dispatchOf(departure), publish);
    this.heldReplies.settle(held);
  }

  #giveUp(departure: Departure, call: AwaitedCall, error: unknown): Outcome {
    this.#dispatcher.giveBack(departure.record, departure.id);
    this.#logger.warn({ operationId: call.id, cause: String(error) }, 'a call could not be promoted');
    return this.#answerWithoutRow(departure, call);
  }

  /** Without a row there is no 202: the reply if it is here, else 504. */
  #answerWithoutRow(departure: Departure, call: AwaitedCall): Outcome {
    const answer = call.heldAnswer();
    this.heldReplies.drop(call.abandonPromotion());
    this.#calls.close(call);
    if (answer === null) throw expiredFailure(departure.plan, null);
    return outcomeOfArrival(call.id, answer);
  }

  /** The caller has been told 504 `unknown`; the pin stays until it is known whether a row wants what was held. */
  async #promoteUntilKnown(
    departure: Departure,
    call: AwaitedCall,
    row: NewOperation,
    publish: Promise<PublishReceipt>,
  ): Promise<void> {
    const outcome = await this.#recorder.promoteUntilKnown(row, departure.home);
    if (typeof outcome === 'object') return this.#complete(departure, call, row, publish);
    this.#dispatcher.giveBack(departure.record, departure.id);
    // Nobody knows: the pin stays to the end, and whoever reads the partition next meets the reply again.
    if (outcome === 'stopped') return;
    this.heldReplies.drop(call.abandonPromotion());
    this.#calls.close(call);
  }
}

/** The row says what the channel knows: acked, or claimed by the send that is under way. */
function promotedRow(departure: Departure, call: AwaitedCall, bootId: string): NewOperation {
  const state = call.sawSignOfLife ? 'running' : call.published ? 'dispatched' : 'accepted';
  const row = newOperation(departure, bootId);
  const updatedAtMs = timeOfSign(departure, call);
  return { ...row, state, updatedAtMs, progress: call.progress, published: call.published, maybeSent: true };
}

/** Within the wait that is over now, whatever the worker's clock says. */
function timeOfSign({ createdAtMs, plan }: Departure, { signAtMs }: AwaitedCall): number {
  return Math.min(Math.max(signAtMs ?? createdAtMs, createdAtMs), createdAtMs + plan.waitMs);
}
