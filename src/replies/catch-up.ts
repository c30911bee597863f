import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Forwarder } from './forwarder.ts';
import type { PartitionCursor } from './partition-cursor.ts';
import type { ReplyBatch, ReplySource, Reread } from './ports.ts';

const LOOK_MS = 250;

export interface CatchUpDeps {
  readonly source: Pick<ReplySource, 'reread'>;
  readonly forwarder: Pick<Forwarder, 'room'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Routes what was dropped and moves the gap. True where the second reader has met the first. */
  readonly onBatch: (batch: ReplyBatch, cursor: PartitionCursor) => boolean;
}

/**
 * Reads the gap of a partition again, once the queue that had no room has drained: a second, temporary reader, so that
 * live callers do not queue behind an outage of the database. It waits for room like any reader, and ends where it meets
 * the first one.
 */
export class CatchUp {
  readonly #deps: CatchUpDeps;
  readonly #cursor: PartitionCursor;
  #reread: Reread | null = null;
  #cancelLook: (() => void) | null = null;
  #isOver = false;

  constructor(cursor: PartitionCursor, deps: CatchUpDeps) {
    this.#cursor = cursor;
    this.#deps = deps;
    this.#look();
  }

  /** Resolves once nothing is delivered any more. */
  async stop(): Promise<void> {
    this.#isOver = true;
    this.#cancelLook?.();
    await this.#reread?.stop();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  #look(): void {
    const cursor = this.#cursor;
    if (this.#isOver || !cursor.alive || cursor.gap === null) {
      this.#isOver = true;
      return;
    }
    if (cursor.queued === 0 && !cursor.writing) this.#begin(cursor.gap);
    else this.#cancelLook = this.#deps.clock.setTimer(() => this.#look(), LOOK_MS);
  }

  #begin(fromOffset: bigint): void {
    const { source, logger } = this.#deps;
    const { partition } = this.#cursor;
    logger.info({ partition, fromOffset: String(fromOffset) }, 'replies that found no room are read again');
    this.#reread = source.reread(partition, fromOffset, (batch) => this.#take(batch));
  }

  #take(batch: ReplyBatch): Promise<void> | undefined {
    const cursor = this.#cursor;
    if (this.#isOver) return undefined;
    if (!cursor.alive) return this.#end();
    if (this.#deps.onBatch(batch, cursor)) return this.#end();
    return this.#waitForRoom();
  }

  /** In the queue of settlements and among the replies that are sent on. */
  #waitForRoom(): Promise<void> | undefined {
    const waits = [this.#cursor.room(), this.#deps.forwarder.room()].filter((room) => room !== undefined);
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined);
  }

  #end(): undefined {
    this.#isOver = true;
    const { partition } = this.#cursor;
    if (this.#cursor.alive) this.#deps.logger.info({ partition }, 'the replies that found no room are all read');
    void this.#reread?.stop();
    return undefined;
  }
}
