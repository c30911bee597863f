import type { Metrics } from '../runtime/metrics.ts';
import type { Chore } from './chore.ts';
import type { Unreconciled } from './ports.ts';

const EVERY_MS = 10_000;
/** Past it the number says only that there are very many. */
const COUNT_LIMIT = 10_000;

/** Keeps the gauge of operations that nobody has reported on. Only the holder's says a number, so that a sum is right. */
export class Reconciliation implements Chore {
  readonly name = 'reconciliation';
  readonly everyMs = EVERY_MS;
  readonly #unreconciled: Unreconciled;
  #count = 0;
  #signal: AbortSignal | null = null;

  constructor(deps: { readonly unreconciled: Unreconciled; readonly metrics: Metrics }) {
    this.#unreconciled = deps.unreconciled;
    deps.metrics.gauge(
      'sluice_unreconciled_operations',
      'Operations past the time of their command without a report, up to 10000. Only the holder of the chores counts.',
      () => (this.#signal === null || this.#signal.aborted ? 0 : this.#count),
    );
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#count = await this.#unreconciled.countUnreconciled(COUNT_LIMIT);
    this.#signal = signal;
  }
}
