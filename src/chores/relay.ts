import type { Outbox } from '../operations/outbox/outbox-port.ts';
import { pause } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import type { BoundCounter } from '../runtime/metrics.ts';
import type { Calm } from './calm.ts';
import { type Chore, repeatWhileMore } from './chore.ts';
import type { Uptake } from './uptake.ts';

export interface RelayOptions {
  readonly bootId: string;
  readonly batchSize: number;
  readonly everyMs: number;
}

export interface RelayDeps {
  readonly outbox: Outbox;
  readonly uptake: Uptake;
  /** Who is dead is only asked once this is known. */
  readonly calm: Pick<Calm, 'isKnown'>;
  readonly clock: Clock;
  readonly done: BoundCounter;
}

/**
 * Publishes what nobody else does: rows of instances that died, rows that were given back, and ordered rows that were
 * accepted behind an unpublished one. Of these the outbox gives out one a key, so the next is looked for as soon as the
 * dispatcher has published and marked it, not at the next tick: a queue would else drain at one command a second.
 */
export class Relay implements Chore {
  readonly name = 'relay';
  readonly everyMs: number;
  readonly #options: RelayOptions;
  readonly #deps: RelayDeps;
  /** Ordered operations that this relay has given to the dispatcher and that are not published yet. */
  #ordered = 0;
  /** Aborts where there is a reason to look again at once: one of them is published, or somebody asks. */
  #again = new AbortController();

  constructor(options: RelayOptions, deps: RelayDeps) {
    this.everyMs = options.everyMs;
    this.#options = options;
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    do {
      this.#again = new AbortController();
      await repeatWhileMore(signal, () => this.#takeBatch(signal));
      if (this.#ordered > 0) await this.#waitForOrdered(signal);
    } while ((this.#ordered > 0 || this.#again.signal.aborted) && !signal.aborted);
  }

  hurry(): void {
    this.#again.abort();
  }

  async #takeBatch(signal: AbortSignal): Promise<boolean> {
    const { outbox, uptake, calm, done } = this.#deps;
    const room = uptake.room(this.#options.batchSize);
    if (room === null) return false;
    return uptake.exclusively(async () => {
      if (signal.aborted) return false;
      const rows = await outbox.claimAbandoned(this.#options.bootId, { ...room, ofTheDead: calm.isKnown });
      const taken = await uptake.take(rows);
      for (const { row, published } of taken) if (row.ordered) void this.#follow(published);
      done.add(taken.length);
      return taken.length === room.maxItems;
    });
  }

  async #follow(published: Promise<void>): Promise<void> {
    this.#ordered += 1;
    await published;
    this.#ordered -= 1;
    this.#again.abort();
  }

  /** Unordered rows do not wait behind a key that is stuck: it ends at the latest when the next look is due. */
  #waitForOrdered(signal: AbortSignal): Promise<void> {
    return pause(this.#deps.clock, this.everyMs, AbortSignal.any([signal, this.#again.signal]));
  }
}
