import { backoffDelays, pause } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { Failure } from '../runtime/failure.ts';
import type { Logger } from '../runtime/log.ts';
import { Trouble } from '../runtime/trouble.ts';
import type { ChangeWriter } from './changes.ts';
import { eventOf } from './events.ts';
import { PUBLISH_DETAIL, RETRY_AFTER_MS } from './failures.ts';
import type { OperationError } from './operation.ts';
import { type CommandPublisher, type CommandRecord, PublishError, type PublishReceipt } from './ports.ts';

const REPEAT = { firstMs: 200, maxMs: 5000 };
/** One call of the channel's own repeats; between two of them the operation's deadline is looked at. */
const PUBLISH_ROUND_MS = 10_000;

export interface Dispatch {
  readonly operationId: string;
  readonly record: CommandRecord;
  /** Unix ms; a record that was never sent by then is not sent after it. */
  readonly deadlineMs: number;
  /** One-way commands are done at the ack. */
  readonly endsAtAck: boolean;
}

export interface DispatcherBounds {
  readonly maxPending: number;
  readonly maxPendingBytes: number;
}

/**
 * Publishes the records of recorded operations until the broker has them, and marks the rows. Bounded: a slot is
 * reserved before the row is inserted, so that no more is promised than is held.
 */
export class Dispatcher {
  readonly #publisher: CommandPublisher;
  readonly #changes: ChangeWriter;
  readonly #clock: Clock;
  readonly #nowMs: () => number;
  readonly #logger: Logger;
  readonly #trouble: Trouble;
  readonly #bounds: DispatcherBounds;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #reserved = 0;
  #reservedBytes = 0;

  constructor(
    publisher: CommandPublisher,
    changes: ChangeWriter,
    bounds: DispatcherBounds,
    deps: { clock: Clock; nowMs: () => number; logger: Logger },
  ) {
    this.#publisher = publisher;
    this.#changes = changes;
    this.#bounds = bounds;
    this.#clock = deps.clock;
    this.#nowMs = deps.nowMs;
    this.#logger = deps.logger;
    this.#trouble = new Trouble('recorded commands cannot be published and are repeated', deps.logger);
  }

  get pending(): number {
    return this.#reserved;
  }

  /** Throws `Failure` `OVERLOADED` at the bounds. Every reservation ends in `dispatch`, `follow` or `giveBack`. */
  reserve(record: CommandRecord): void {
    const { maxPending, maxPendingBytes } = this.#bounds;
    const sizeBytes = record.value.byteLength;
    if (this.#reserved >= maxPending || this.#reservedBytes + sizeBytes > maxPendingBytes) {
      const detail = `${this.#reserved} recorded commands wait to be published, as many as this gateway holds`;
      throw new Failure('OVERLOADED', detail, { retryAfterMs: RETRY_AFTER_MS });
    }
    this.#reserved += 1;
    this.#reservedBytes += sizeBytes;
  }

  giveBack(record: CommandRecord): void {
    this.#reserved -= 1;
    this.#reservedBytes -= record.value.byteLength;
  }

  /** Publishes in the background. */
  dispatch(work: Dispatch): void {
    this.#track(work, this.#publishAndMark(work, null));
  }

  /** The same for a command whose first publish is under way: a promoted call. */
  follow(work: Dispatch, firstPublish: Promise<PublishReceipt>): void {
    this.#track(work, this.#publishAndMark(work, firstPublish));
  }

  /** Waits for what is under way; what is not acked then stays `accepted` in the store. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  #track({ record }: Dispatch, run: Promise<void>): void {
    const tracked = run.finally(() => {
      this.giveBack(record);
      this.#running.delete(tracked);
    });
    this.#running.add(tracked);
  }

  async #publishAndMark(work: Dispatch, firstPublish: Promise<PublishReceipt> | null): Promise<void> {
    let maybeSent = false;
    let publish = firstPublish;
    for (const delayMs of backoffDelays(REPEAT)) {
      const leftMs = work.deadlineMs - this.#nowMs();
      if (publish === null && leftMs <= 0) return this.#giveUpLate(work, maybeSent);
      try {
        const receipt = await (publish ?? this.#publish(work, leftMs));
        this.#trouble.end();
        return await this.#markDispatched(work, receipt);
      } catch (error) {
        if (!(error instanceof PublishError)) throw error;
        maybeSent ||= !error.certainlyNotSent;
        if (error.definite) return await this.#fail(work, error, maybeSent);
        this.#trouble.note({ operationId: work.operationId, problem: error.problem, cause: error.message });
      }
      publish = null;
      await pause(this.#clock, delayMs, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
    }
  }

  #publish(work: Dispatch, leftMs: number): Promise<PublishReceipt> {
    return this.#publisher.publish(work.record, this.#clock.monotonicMs() + Math.min(PUBLISH_ROUND_MS, leftMs));
  }

  /**
   * A worker must not run what nobody waits for any more. A record that may have been sent stays as it is: a reply may be
   * on its way, and only who has read all replies can say that there is none.
   */
  async #giveUpLate(work: Dispatch, maybeSent: boolean): Promise<void> {
    if (!maybeSent) return this.#expireUnsent(work);
    this.#logger.warn(
      { operationId: work.operationId },
      'a command of unknown fate is not sent again after its deadline',
    );
  }

  #markDispatched(work: Dispatch, published: PublishReceipt): Promise<void> {
    const events = [eventOf('dispatched', this.#nowMs(), { published })];
    if (work.endsAtAck) events.push(eventOf('succeeded', this.#nowMs()));
    return this.#changes.write({ operationId: work.operationId, events });
  }

  #fail(work: Dispatch, cause: PublishError, maybeSent: boolean): Promise<void> {
    const code = cause.problem === 'too_large' ? 'REQUEST_TOO_LARGE' : 'CHANNEL_UNAVAILABLE';
    return this.#conclude(work, 'failed', {
      code,
      grpcCode: cause.problem === 'too_large' ? 'RESOURCE_EXHAUSTED' : 'UNAVAILABLE',
      message: PUBLISH_DETAIL[cause.problem],
      details: null,
      delivery: maybeSent ? 'unknown' : 'not_sent',
    });
  }

  #expireUnsent(work: Dispatch): Promise<void> {
    return this.#conclude(work, 'expired', {
      code: 'OPERATION_EXPIRED',
      grpcCode: 'DEADLINE_EXCEEDED',
      message: 'the command could not be sent before its deadline',
      details: null,
      delivery: 'not_sent',
    });
  }

  #conclude(work: Dispatch, type: 'failed' | 'expired', error: OperationError): Promise<void> {
    const events = [eventOf(type, this.#nowMs(), { error })];
    return this.#changes.write({ operationId: work.operationId, events });
  }
}
