/** The history of one operation as server-sent events, from a cursor on, until the operation is done. */

import { isTerminal, type Operation, type Principal } from '../../operations/operation.ts';
import type { RecordedEvent } from '../../operations/store-ports.ts';
import type { Clock } from '../../runtime/clock.ts';
import { Failure } from '../../runtime/failure.ts';
import type { OperationResource } from '../call.ts';
import type { EventDocument } from './event-document.ts';

/** So that no proxy between takes a stream without events for a dead one. */
export const HEARTBEAT_MS = 15_000;
const HEARTBEAT = ':\n\n';

export interface FeedOptions {
  readonly operations: Pick<OperationResource, 'get' | 'wait' | 'readEvents'>;
  readonly clock: Clock;
  readonly principal: Principal;
  /** Number of the last event that the caller has; 0 for none. */
  readonly after: number;
  /** A snapshot that is younger than the caller's cursor. */
  readonly operation: Operation;
  /** Aborts when the caller goes away, and when this instance drains: the stream then just ends, and is taken up elsewhere. */
  readonly signal: AbortSignal;
  /** How soon a caller that lost the stream may come back. */
  readonly retryMs: number;
  readonly describe: (event: RecordedEvent, operation: Operation) => EventDocument;
}

/**
 * Pulled: nothing is read before the caller has taken what was read before, so a slow one holds back and at most one page
 * of events is in memory.
 */
export class EventFeed {
  readonly #options: FeedOptions;
  /** Number of the last event that was given. */
  #cursor: number;
  /** Invariant: where its version is below the cursor, events were read that are younger than it, or the cursor is not ours. */
  #operation: Operation;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#cursor = options.after;
    this.#operation = options.operation;
  }

  /** Texts to send, in order. Throws `Failure` where nothing more can be read, such as `OPERATION_GONE`. */
  async *read(): AsyncGenerator<string, void, void> {
    const { signal, retryMs } = this.#options;
    yield `retry: ${retryMs}\n\n`;
    if (this.#cursor > this.#operation.version) yield this.#leap(0);
    while (!signal.aborted) {
      try {
        yield* this.#readOn();
        if (this.#isAtEnd()) {
          yield this.#write('end', { state: this.#operation.state, version: this.#cursor });
          return;
        }
        if (!signal.aborted) yield* this.#awaitChange();
      } catch (error) {
        await this.#pauseAfter(error);
        yield HEARTBEAT;
      }
    }
  }

  async *#readOn(): AsyncGenerator<string, void, void> {
    const { operations, principal, signal } = this.#options;
    while (this.#cursor < this.#operation.version && !signal.aborted) {
      const events = await operations.readEvents(this.#operation.id, principal, this.#cursor);
      // The snapshot counts more events than are kept.
      if (events.length === 0) yield this.#leap(this.#operation.version);
      else yield events.map((event) => this.#writeEvent(event)).join('');
    }
  }

  #isAtEnd(): boolean {
    return isTerminal(this.#operation.state) && this.#cursor === this.#operation.version;
  }

  async *#awaitChange(): AsyncGenerator<string, void, void> {
    const { operations, clock, principal, signal } = this.#options;
    const { id, version } = this.#operation;
    if (this.#cursor > version) {
      // What was read last may be its end, after which no wait would wake.
      this.#operation = await operations.get(id, principal);
    } else {
      const untilMs = clock.monotonicMs() + HEARTBEAT_MS;
      this.#operation = await operations.wait(id, principal, { untilMs, signal, unlessVersion: this.#cursor });
      if (this.#operation.version === this.#cursor && !signal.aborted) yield HEARTBEAT;
    }
    // Seen events are gone: the database was set back.
    if (this.#operation.version < this.#cursor) yield this.#leap(0);
  }

  /** Goes on behind event `number`, and says so: what lies between is not, or no longer, known here. */
  #leap(number: number): string {
    const after = this.#cursor;
    this.#cursor = number;
    return this.#write('gap', { after, next: number + 1 });
  }

  #writeEvent(event: RecordedEvent): string {
    const gap = event.number > this.#cursor + 1 ? this.#leap(event.number - 1) : '';
    this.#cursor = event.number;
    return gap + this.#write(event.event.type, this.#options.describe(event, this.#operation));
  }

  /** JSON has no line breaks outside of texts, where they are escaped. */
  #write(type: string, data: object): string {
    return `id: ${this.#cursor}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
  }

  /** A store that is away comes back, and a caller cut off now would be answered 503 and give up. */
  #pauseAfter(error: unknown): Promise<void> {
    if (!(error instanceof Failure) || error.retryAfterMs === null) throw error;
    const { clock, signal } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = clock.setTimer(resolve, error.retryAfterMs);
    signal.addEventListener('abort', () => resolve(), { once: true });
    if (signal.aborted) resolve();
    return promise.finally(cancel);
  }
}
