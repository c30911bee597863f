import type { AwaitedCalls } from '../operations/calls/awaited-calls.ts';
import { isTerminal, type Operation } from '../operations/operation.ts';
import type { DispatchMarks } from '../operations/outbox/dispatch-marks.ts';
import {
  LeaseLostError,
  type OperationChange,
  type OperationChanges,
  type OperationEvent,
} from '../operations/store-ports.ts';
import { backoffDelays, pause } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Counter, Metrics } from '../runtime/metrics.ts';
import type { PartitionCursor, Settlement } from './partition-cursor.ts';

const REPEAT = { firstMs: 100, maxMs: 5000 };

/** A batch of so many says that more are coming: the next one waits for them. */
const GATHER_FROM_ITEMS = 16;

export interface SettlerOptions {
  /** Of one transaction. */
  readonly maxItems: number;
  /** The same; a larger reply goes alone. */
  readonly maxBytes: number;
  /**
   * From the begin of a batch to that of the next, where many replies come and nobody waits for one: fewer and larger
   * transactions. 0: none waits.
   */
  readonly gatherMs: number;
}

export interface SettlerDeps {
  readonly changes: OperationChanges;
  readonly calls: AwaitedCalls;
  readonly marks: DispatchMarks;
  /** A transaction found the lease gone or moved: the lease row decides. */
  readonly onLeaseDoubt: () => void;
  /** Whether a request of this instance waits for a recorded operation. */
  readonly isAnyAwaited: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/**
 * Settles what was read from a partition: one transaction at a time a partition moves the read position and applies the
 * replies below it, while the next ones gather. A reply that finds no row is counted and passed.
 */
export class Settler {
  readonly #deps: SettlerDeps;
  readonly #options: SettlerOptions;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  /** Cursors whose replies are being settled, pauses between repeats included: a kick adds no second settler. */
  readonly #busy = new Set<PartitionCursor>();
  /** Of these, those whose next batch still gathers, and what ends that. */
  readonly #gathering = new Map<PartitionCursor, AbortController>();
  readonly #settled: Counter;

  constructor(options: SettlerOptions, deps: SettlerDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#settled = deps.metrics.counter(
      'sluice_settled_replies_total',
      'Replies applied to operations, or passed without a row.',
      ['fate'],
    );
  }

  /** Settles in the background what the cursor has queued; does nothing where that is under way already. */
  kick(cursor: PartitionCursor): void {
    if (!this.#mayGather(cursor)) this.#gathering.get(cursor)?.abort();
    if (this.#busy.has(cursor) || cursor.writing || cursor.queued === 0 || this.#stop.signal.aborted) return;
    this.#busy.add(cursor);
    const run = this.#settleAll(cursor).finally(() => this.#running.delete(run));
    this.#running.add(run);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    for (const end of this.#gathering.values()) end.abort();
    await Promise.all(this.#running);
  }

  async #settleAll(cursor: PartitionCursor): Promise<void> {
    let delays = backoffDelays(REPEAT);
    while (cursor.alive && cursor.queued > 0 && !cursor.writing) {
      const startedAtMs = this.#deps.clock.monotonicMs();
      const settled = await this.#settleBatch(cursor);
      // Also where it works: replies may go on coming for as long as there are workers.
      if (this.#stop.signal.aborted) break;
      if (settled !== null) {
        delays = backoffDelays(REPEAT);
        await this.#gather(cursor, settled, startedAtMs);
        continue;
      }
      await pause(this.#deps.clock, delays.next().value, this.#stop.signal);
    }
    // In the same turn as the last look at the queue: a kick after it starts anew.
    this.#busy.delete(cursor);
  }

  /** Until `gatherMs` after the last batch began, unless something becomes of the queue or somebody waits. */
  async #gather(cursor: PartitionCursor, settled: number, startedAtMs: number): Promise<void> {
    const { gatherMs } = this.#options;
    if (gatherMs === 0 || settled < GATHER_FROM_ITEMS || !this.#mayGather(cursor)) return;
    const { clock } = this.#deps;
    const end = new AbortController();
    this.#gathering.set(cursor, end);
    await pause(clock, Math.max(0, startedAtMs + gatherMs - clock.monotonicMs()), end.signal);
    this.#gathering.delete(cursor);
  }

  #mayGather(cursor: PartitionCursor): boolean {
    return cursor.alive && cursor.hasRoom && cursor.queued < this.#options.maxItems && !this.#deps.isAnyAwaited();
  }

  /** Returns how many; null where the transaction did not happen, or not for certain. */
  async #settleBatch(cursor: PartitionCursor): Promise<number | null> {
    const batch = cursor.beginSettling(this.#options.maxItems, this.#options.maxBytes);
    const nextOffset = cursor.offsetAfter(batch);
    const move = { partition: cursor.partition, fence: cursor.fence, expectedOffset: cursor.committed, nextOffset };
    const changes = groupByOperation(batch, this.#deps.marks);
    try {
      const outcome = await this.#deps.changes.commit(changes, move);
      cursor.completeSettling(batch, nextOffset);
      for (const { operationId } of changes) this.#deps.marks.complete(operationId);
      this.#forgetDone(outcome.operations);
      this.#settled.add(batch.length - outcome.missing.length, 'settled');
      if (outcome.missing.length > 0) this.#settled.add(outcome.missing.length, 'unclaimed');
      return batch.length;
    } catch (error) {
      cursor.failSettling(batch);
      for (const { operationId } of changes) this.#deps.marks.putBack(operationId);
      this.#deps.logger.warn(
        { partition: cursor.partition, replies: batch.length, cause: String(error) },
        'settling is repeated',
      );
      if (error instanceof LeaseLostError) this.#deps.onLeaseDoubt();
      return null;
    }
  }

  #forgetDone(operations: readonly Operation[]): void {
    for (const operation of operations) if (isTerminal(operation.state)) this.#deps.calls.forget(operation.id);
  }
}

/**
 * A mark of dispatch that is not written yet goes along, in front; where the reply that ends the operation is here already,
 * it would tell nobody anything, and is left out.
 */
function groupByOperation(batch: readonly Settlement[], marks: DispatchMarks): OperationChange[] {
  const events = new Map<string, OperationEvent[]>();
  for (const { operationId, event } of batch) {
    if (event === null) continue;
    const known = events.get(operationId);
    if (known) known.push(event);
    else events.set(operationId, [event]);
  }
  return [...events].map(([operationId, list]) => {
    const mark = marks.takeAlong(operationId);
    const isEnded = list.some(({ type }) => type === 'succeeded' || type === 'failed');
    return { operationId, events: mark === null || isEnded ? list : [mark, ...list] };
  });
}
