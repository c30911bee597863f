import type { Clock } from '../runtime/clock.ts';
import type { LogReader, PartitionLog, StoredRecord } from './memory-log.ts';

/** Records of one partition in offset order. The next ones come when the promise has resolved. */
export type OnRecords = (records: readonly StoredRecord[]) => Promise<void> | void;

const MAX_RECORDS_A_BATCH = 500;
/** After a reader threw: the same records are given again, but not in a tight circle. */
const RETRY_MS = 1000;

/**
 * Reads one partition for one consumer. Delivery is asynchronous, in a turn of the event loop of its own, and one batch at
 * a time: a consumer that appends to what it reads is never entered again.
 */
export class PartitionReader implements LogReader {
  readonly #log: PartitionLog;
  readonly #onRecords: OnRecords;
  readonly #clock: Clock;
  /** Where the next batch begins. */
  #position: number;
  /** Null for a consumer that commits nothing: what was delivered is no longer needed. */
  #committed: number | null;
  #isPaused = false;
  #isClosed = false;
  #isScheduled = false;
  #delivery: Promise<void> | null = null;
  #cancelRetry: (() => void) | null = null;

  constructor(
    log: PartitionLog,
    options: { fromOffset: number; commits: boolean; onRecords: OnRecords; clock: Clock; isPaused?: boolean },
  ) {
    this.#log = log;
    this.#position = options.fromOffset;
    this.#committed = options.commits ? options.fromOffset : null;
    this.#onRecords = options.onRecords;
    this.#clock = options.clock;
    this.#isPaused = options.isPaused ?? false;
    log.addReader(this);
    this.wake();
  }

  wake(): void {
    if (this.#isScheduled || this.#isPaused || this.#isClosed || this.#delivery || this.#cancelRetry) return;
    if (this.#position >= this.#log.end) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#deliver();
    });
  }

  keepsFrom(): number {
    return this.#committed ?? this.#position;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.wake();
  }

  /** Positions only move forward. */
  commit(offset: number): void {
    if (this.#committed !== null && offset > this.#committed) this.#committed = Math.min(offset, this.#log.end);
  }

  /** Resolves when a delivery that is under way has ended. Nothing is delivered after the call. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelRetry?.();
    this.#log.removeReader(this);
    await this.#delivery;
  }

  #deliver(): void {
    if (this.#isPaused || this.#isClosed || this.#delivery) return;
    const from = Math.max(this.#position, this.#log.start);
    const records = this.#log.read(from, MAX_RECORDS_A_BATCH);
    if (records.length === 0) return;
    this.#delivery = this.#hand(records, from);
  }

  async #hand(records: readonly StoredRecord[], from: number): Promise<void> {
    try {
      // Always a turn later, a throw too: `#delivery` must be set before it is cleared.
      await new Promise<void>((resolve) => resolve(this.#onRecords(records)));
      this.#position = from + records.length;
    } catch {
      this.#cancelRetry = this.#clock.setTimer(() => {
        this.#cancelRetry = null;
        this.wake();
      }, RETRY_MS);
    } finally {
      this.#delivery = null;
      this.wake();
    }
  }
}
