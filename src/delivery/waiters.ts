import { RETRY_AFTER_MS } from '../operations/failures.ts';
import type { SettlementWaits } from '../operations/gateway-ports.ts';
import { isTerminal, type Operation } from '../operations/operation.ts';
import type { OperationReads } from '../operations/store-ports.ts';
import { Batcher } from '../runtime/batch.ts';
import type { Clock } from '../runtime/clock.ts';
import { Failure } from '../runtime/failure.ts';
import type { Logger } from '../runtime/log.ts';

const MAX_READ_BATCH = 500;

export interface WaitersOptions {
  /** Requests that may wait at once; at the bound a wait is refused with `OVERLOADED`. */
  readonly maxWaiters: number;
  /** Every waited-for operation is read again this often, all in one query: a wake-up is a hint, never the truth. */
  readonly rereadMs: number;
}

interface Waiter {
  readonly until: (operation: Operation) => boolean;
  readonly resolve: (operation: Operation | null) => void;
  newest: Operation | null;
}

/**
 * Open requests that wait for recorded operations. A waiter registers first and reads then, so that what is settled
 * between the two cannot be missed.
 */
export class Waiters implements SettlementWaits {
  readonly #reads: Batcher<string, Operation | null>;
  readonly #options: WaitersOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #waiting = new Map<string, Set<Waiter>>();
  #count = 0;
  #cancelReread: (() => void) | null = null;
  #stopped = false;

  constructor(reads: OperationReads, options: WaitersOptions, deps: { clock: Clock; logger: Logger }) {
    this.#options = options;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#reads = new Batcher({
      maxItems: MAX_READ_BATCH,
      maxPendingItems: options.maxWaiters * 2,
      flush: async (ids) => {
        const found = new Map((await reads.read([...new Set(ids)])).map((operation) => [operation.id, operation]));
        return ids.map((id) => found.get(id) ?? null);
      },
    });
  }

  get count(): number {
    return this.#count;
  }

  waitFor(operationId: string, options: Parameters<SettlementWaits['waitFor']>[1]): Promise<Operation | null> {
    if (this.#count >= this.#options.maxWaiters) {
      const detail = `${this.#options.maxWaiters} requests wait for operations, the most this gateway holds`;
      return Promise.reject(
        new Failure('OVERLOADED', detail, { delivery: 'unknown', operationId, retryAfterMs: RETRY_AFTER_MS }),
      );
    }
    const until = options.until ?? ((operation: Operation) => isTerminal(operation.state));
    return new Promise((resolve) => {
      const finish = (operation: Operation | null) => {
        cancelTimer();
        options.signal.removeEventListener('abort', giveUp);
        this.#remove(operationId, waiter);
        resolve(operation);
      };
      const waiter: Waiter = { until, resolve: finish, newest: options.known ?? null };
      const giveUp = () => finish(waiter.newest);
      const cancelTimer = this.#clock.setTimer(giveUp, options.untilMs - this.#clock.monotonicMs());
      options.signal.addEventListener('abort', giveUp, { once: true });
      this.#add(operationId, waiter);
      if (options.signal.aborted || this.#stopped) giveUp();
      else if (options.known === undefined) this.#readOne(operationId);
    });
  }

  wake(operations: readonly Operation[]): void {
    if (this.#waiting.size === 0) return;
    for (const operation of operations) {
      for (const waiter of this.#waiting.get(operation.id) ?? []) {
        if (waiter.newest !== null && waiter.newest.version > operation.version) continue;
        waiter.newest = operation;
        if (waiter.until(operation)) waiter.resolve(operation);
      }
    }
  }

  /** Somebody says that these have changed: those that are waited for are read. */
  hint(operationIds: readonly string[]): void {
    for (const operationId of operationIds) if (this.#waiting.has(operationId)) this.#readOne(operationId);
  }

  /** Answers everybody with the newest that is known. */
  stop(): void {
    this.#stopped = true;
    for (const waiters of [...this.#waiting.values()]) for (const waiter of [...waiters]) waiter.resolve(waiter.newest);
  }

  #add(operationId: string, waiter: Waiter): void {
    const others = this.#waiting.get(operationId);
    if (others) others.add(waiter);
    else this.#waiting.set(operationId, new Set([waiter]));
    this.#count += 1;
    this.#cancelReread ??= this.#clock.setTimer(() => this.#rereadAll(), this.#options.rereadMs);
  }

  #remove(operationId: string, waiter: Waiter): void {
    const waiters = this.#waiting.get(operationId);
    if (!waiters?.delete(waiter)) return;
    this.#count -= 1;
    if (waiters.size === 0) this.#waiting.delete(operationId);
    if (this.#count > 0) return;
    this.#cancelReread?.();
    this.#cancelReread = null;
  }

  #rereadAll(): void {
    this.#cancelReread = null;
    for (const operationId of this.#waiting.keys()) this.#readOne(operationId);
    if (this.#count > 0) this.#cancelReread = this.#clock.setTimer(() => this.#rereadAll(), this.#options.rereadMs);
  }

  #readOne(operationId: string): void {
    this.#reads.submit(operationId).then(
      (operation) => operation && this.wake([operation]),
      (error) => this.#logger.debug({ operationId, cause: String(error) }, 'a waiter could not read its operation'),
    );
  }
}
