/** Open streams of server-sent events: how many there may be, and how each ends. */

import type { Clock } from '../../runtime/clock.ts';
import { Failure } from '../../runtime/failure.ts';

/** A reader that takes nothing for so long is cut off: it would keep its place for ever. */
export const STALL_MS = 60_000;

export interface StreamEnd {
  readonly sizeBytes: number;
  /** What broke it; null where it came to its end, or its reader left. */
  readonly error: unknown;
}

export interface EventStream {
  readonly body: ReadableStream<Uint8Array>;
  /** Never rejects. */
  readonly ended: Promise<StreamEnd>;
}

/** Gives what is to be sent; the signal aborts when the reader goes away or takes nothing any more. */
export type TextSource = (left: AbortSignal) => AsyncGenerator<string, void, void>;

export interface EventStreamsOptions {
  readonly maxOpen: number;
  readonly retryAfterMs: number;
  readonly clock: Clock;
}

export class EventStreams {
  readonly #options: EventStreamsOptions;
  #open = 0;

  constructor(options: EventStreamsOptions) {
    this.#options = options;
  }

  get open(): number {
    return this.#open;
  }

  /**
   * @param cutOff breaks the connection of a reader that takes nothing.
   * @throws Failure OVERLOADED: as many are open as may be.
   */
  start(source: TextSource, cutOff: () => void): EventStream {
    const { maxOpen, retryAfterMs, clock } = this.#options;
    if (this.#open >= maxOpen) {
      const detail = `${maxOpen} streams of events are open, the most that this gateway holds`;
      throw new Failure('OVERLOADED', detail, { retryAfterMs });
    }
    this.#open += 1;
    const stream = new PulledStream(source, cutOff, clock);
    void stream.ended.then(() => {
      this.#open -= 1;
    });
    return stream;
  }
}

/** A web stream that asks its source for the next text only when its reader has taken the one before. */
class PulledStream implements EventStream {
  readonly body: ReadableStream<Uint8Array>;
  readonly ended: Promise<StreamEnd>;
  readonly #clock: Clock;
  readonly #cutOff: () => void;
  readonly #texts: AsyncGenerator<string, void, void>;
  readonly #left = new AbortController();
  readonly #end: (end: StreamEnd) => void;
  #sizeBytes = 0;
  #cancelStall: (() => void) | null = null;

  constructor(source: TextSource, cutOff: () => void, clock: Clock) {
    const { promise, resolve } = Promise.withResolvers<StreamEnd>();
    this.ended = promise;
    this.#end = resolve;
    this.#clock = clock;
    this.#cutOff = cutOff;
    this.#texts = source(this.#left.signal);
    const behaviour = {
      pull: (controller: ReadableStreamDefaultController<Uint8Array>) => this.#pull(controller),
      cancel: () => this.#finish(null),
    };
    this.body = new ReadableStream(behaviour, { highWaterMark: 0 });
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    this.#cancelStall?.();
    const text = await this.#next();
    // The reader left while the next text was waited for.
    if (this.#left.signal.aborted && text !== null) return;
    if (text === null) return closeOnce(controller);
    const bytes = Buffer.from(text);
    this.#sizeBytes += bytes.length;
    controller.enqueue(bytes);
    this.#cancelStall = this.#clock.setTimer(() => this.#giveUp(), STALL_MS);
  }

  /** Null at the end. What broke the source ends it in good order: the reader comes back, and is told then. */
  async #next(): Promise<string | null> {
    try {
      const { done, value } = await this.#texts.next();
      if (!done) return value;
      this.#finish(null);
    } catch (error) {
      this.#finish(error);
    }
    return null;
  }

  /** To close or break the stream would not reach a reader that is not reading. */
  #giveUp(): void {
    this.#finish(null);
    this.#cutOff();
  }

  /** The first end counts. */
  #finish(error: unknown): void {
    this.#cancelStall?.();
    this.#left.abort();
    void this.#texts.return();
    this.#end({ sizeBytes: this.#sizeBytes, error });
  }
}

/** A reader that left has closed it already. */
function closeOnce(controller: ReadableStreamDefaultController<Uint8Array>): void {
  try {
    controller.close();
  } catch {
    // Nobody reads any more.
  }
}
