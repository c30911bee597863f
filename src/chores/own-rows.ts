import type { Outbox } from '../operations/outbox/outbox-port.ts';
import type { BoundCounter } from '../runtime/metrics.ts';
import type { Chore } from './chore.ts';
import type { Uptake } from './uptake.ts';

/** A younger row may be one whose accept is still under way. */
const MIN_AGE_MS = 10_000;

export interface OwnRowsOptions {
  readonly bootId: string;
  readonly batchSize: number;
  readonly everyMs: number;
}

/**
 * Takes up rows that this boot has claimed and does not know of: a claim or a re-drive whose answer was lost with its
 * connection. While we live nobody else may publish them. Every instance does this for itself, holder or not.
 */
export class OwnRows implements Chore {
  readonly name = 'own-rows';
  readonly everyMs: number;
  readonly #options: OwnRowsOptions;
  readonly #deps: { readonly outbox: Outbox; readonly uptake: Uptake; readonly done: BoundCounter };
  /** A row is taken at the second look that misses it: one that has just been claimed is about to be held. */
  #missed: ReadonlySet<string> = new Set();

  constructor(options: OwnRowsOptions, deps: { outbox: Outbox; uptake: Uptake; done: BoundCounter }) {
    this.everyMs = options.everyMs;
    this.#options = options;
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { outbox, uptake, done } = this.#deps;
    const room = uptake.room(this.#options.batchSize);
    if (room === null) return;
    const bounds = { minAgeMs: MIN_AGE_MS, limit: this.#options.batchSize };
    const listed = await outbox.listClaimed(this.#options.bootId, bounds);
    const missing = listed.filter((id) => !uptake.holds(id));
    const lost = missing.filter((id) => this.#missed.has(id)).slice(0, room.maxItems);
    this.#missed = new Set(missing);
    if (lost.length > 0 && !signal.aborted) done.add(await uptake.takeUp(lost));
  }
}
