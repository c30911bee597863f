import { eventOf } from '../operations/events.ts';
import type { OperationChanges } from '../operations/store-ports.ts';
import type { BoundCounter } from '../runtime/metrics.ts';
import type { Chore } from './chore.ts';
import type { DueOperations, SilentOperation } from './ports.ts';
import type { Uptake } from './uptake.ts';
import type { Watermark } from './watermark.ts';
import type { WorkerPositions } from './worker-positions.ts';

export interface RedriveOptions {
  readonly bootId: string;
  readonly everyMs: number;
  readonly batchSize: number;
}

export interface RedriveDeps {
  readonly due: DueOperations;
  readonly changes: OperationChanges;
  readonly watermark: Watermark;
  readonly positions: WorkerPositions;
  readonly uptake: Uptake;
  readonly nowMs: () => number;
  readonly done: BoundCounter;
}

/**
 * Sends the command of a silent operation again, where its policy allows another attempt. A silence counts as far as the
 * watermark proves it. Where the policy names the workers' group, a command that still waits in its topic is no silence.
 */
export class Redrive implements Chore {
  readonly name = 'redrive';
  readonly everyMs: number;
  readonly #options: RedriveOptions;
  readonly #deps: RedriveDeps;
  /** Where the next look goes on: those that wait for their workers must not hide the ones behind them. */
  #afterId: string | null = null;

  constructor(options: RedriveOptions, deps: RedriveDeps) {
    this.everyMs = options.everyMs;
    this.#options = options;
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { watermark, due, positions, uptake } = this.#deps;
    const mark = watermark.reached;
    const room = uptake.room(this.#options.batchSize);
    if (mark === null || room === null) return;
    const silent = await due.listSilent(mark.databaseMs, room.maxItems, this.#afterId);
    this.#afterId = silent.length < room.maxItems ? null : (silent.at(-1)?.operationId ?? null);
    const passed = await positions.listPassed(silent, mark, signal);
    if (passed.length === 0) return;
    await uptake.exclusively(async () => {
      if (!signal.aborted) await this.#redrive(passed);
    });
  }

  /**
   * The commit claims the rows: of two holders the second finds another attempt and claims nothing. Where its answer is
   * lost, `OwnRows` finds them.
   */
  async #redrive(operations: readonly SilentOperation[]): Promise<void> {
    const { changes, uptake, nowMs, done } = this.#deps;
    const { bootId } = this.#options;
    const atMs = nowMs();
    await changes.commit(
      operations.map(({ operationId, attempt }) => ({
        operationId,
        events: [eventOf('redriven', atMs, { by: bootId, afterAttempt: attempt })],
      })),
      null,
    );
    done.add(await uptake.loadAndTake(operations.map(({ operationId }) => operationId)));
  }
}
