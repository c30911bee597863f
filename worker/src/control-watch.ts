import type { Clock } from './clock.ts';
import { readTextHeader } from './headers.ts';
import type { Logger } from './log.ts';
import type { IncomingRecord, TopicWatch, WorkerTransport } from './transport.ts';

export interface ControlWatchOptions {
  readonly transport: Pick<WorkerTransport, 'watchTopic'>;
  /** With its namespace. */
  readonly topic: string;
  /** Of the workers, with its namespace; the transport makes it this process's own. */
  readonly group: string;
  readonly onCancelled: (operationId: string) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

const CANCELLED_TYPE = 'sluice.operation.cancelled';
/** Cancellations are read from so long ago, and remembered for as long. */
const MEMORY_MS = 600_000;
const MAX_REMEMBERED = 100_000;
/** How long commands wait at a start for cancellations that are there already. */
const START_MS = 10_000;
const LOOK_AGAIN_MS = 15_000;

/**
 * What callers have cancelled: each worker reads all of the control topic, because the command may be with any of them,
 * or come to it later. The topic may not be there yet, or never: then commands run, and it is looked for again.
 *
 * Invariant: `#untilMs` is in the order in which ids came, so the first are forgotten first.
 */
export class ControlWatch {
  readonly #options: ControlWatchOptions;
  readonly #untilMs = new Map<string, number>();
  #watch: TopicWatch | null = null;
  #cancelTimer: () => void = () => {};
  #closed = false;
  #complained = false;

  constructor(options: ControlWatchOptions) {
    this.#options = options;
  }

  /** Resolves when what was cancelled before is known, or will not be for a while. Never rejects. */
  async start(): Promise<void> {
    if (this.#options.transport.watchTopic === undefined) return;
    const { clock, logger, topic } = this.#options;
    const patience = Promise.withResolvers<void>();
    const cancel = clock.setTimer(() => {
      logger.warn({ topic }, 'cancellations are not read yet; commands are taken all the same');
      patience.resolve();
    }, START_MS);
    await Promise.race([this.#look(), patience.promise]);
    cancel();
  }

  isCancelled(operationId: string | null): boolean {
    if (operationId === null) return false;
    this.#forget();
    return this.#untilMs.has(operationId);
  }

  /** Does not wait for a look that is under way: with the brokers away it may take its time. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer();
    await this.#watch?.close();
  }

  async #look(): Promise<void> {
    const { transport, topic, group, clock, logger } = this.#options;
    try {
      const sinceMs = clock.nowMs() - MEMORY_MS;
      const onRecords = (records: readonly IncomingRecord[]) => this.#take(records);
      this.#watch = (await transport.watchTopic?.({ topic, group, sinceMs, onRecords })) ?? null;
      if (this.#closed) await this.#watch?.close();
    } catch (error) {
      logger[this.#complained ? 'debug' : 'warn']({ error, topic }, 'cancellations cannot be read; it is tried again');
      this.#complained = true;
    }
    if (this.#watch === null && !this.#closed) this.#lookAgain();
  }

  #lookAgain(): void {
    this.#cancelTimer = this.#options.clock.setTimer(() => void this.#look(), LOOK_AGAIN_MS);
  }

  /** Records of other kinds are for others: the topic may carry more one day. */
  #take(records: readonly IncomingRecord[]): void {
    for (const { headers } of records) {
      const operationId = readTextHeader(headers, 'ce_subject');
      if (readTextHeader(headers, 'ce_type') !== CANCELLED_TYPE || !operationId) continue;
      this.#untilMs.delete(operationId);
      this.#untilMs.set(operationId, this.#options.clock.nowMs() + MEMORY_MS);
      this.#options.onCancelled(operationId);
    }
    this.#forget();
  }

  #forget(): void {
    for (const [operationId, untilMs] of this.#untilMs) {
      if (this.#untilMs.size <= MAX_REMEMBERED && untilMs > this.#options.clock.nowMs()) return;
      this.#untilMs.delete(operationId);
    }
  }
}
