import type { Chore } from './chore.ts';
import type { OwedChoreDeps, OwedChoreOptions } from './dead-letters.ts';
import type { OwedEvent } from './ports.ts';

/** Events of an operation, more or less: what a step takes is said in operations. */
const EVENTS_PER_OPERATION = 3;

/** Puts the events of operations on the topic of lifecycle events, those of one operation in the order of their numbers. */
export class Lifecycle implements Chore {
  readonly name = 'lifecycle';
  readonly everyMs: number;
  readonly #limit: number;
  readonly #deps: OwedChoreDeps;

  constructor(options: OwedChoreOptions, deps: OwedChoreDeps) {
    this.everyMs = options.everyMs;
    this.#limit = options.batchSize * EVENTS_PER_OPERATION;
    this.#deps = deps;
  }

  /** To the end, however many there are: what is owed keeps operations from being purged. Each step clears what it sent. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { events, hasMore } = await this.#deps.owed.listOwedEvents(this.#limit);
      await this.#sendAll(events, signal);
      if (!hasMore) return;
    }
  }

  async #sendAll(events: readonly OwedEvent[], signal: AbortSignal): Promise<void> {
    const { owed, done } = this.#deps;
    const sent: OwedEvent[] = [];
    const histories = Map.groupBy(events, ({ operationId }) => operationId).values();
    const outcomes = await Promise.allSettled([...histories].map((each) => this.#sendInOrder(each, sent, signal)));
    if (sent.length > 0) await owed.clearEvents(sent);
    done.add(sent.length);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
  }

  /** Each once the one before it is acknowledged: what is sent again after a failure must not come before it. */
  async #sendInOrder(events: readonly OwedEvent[], sent: OwedEvent[], signal: AbortSignal): Promise<void> {
    const { forms, sender } = this.#deps;
    for (const event of events) {
      await sender.sendOrDrop(this.name, event.operationId, forms.lifecycleEvent(event), signal);
      sent.push(event);
    }
  }
}
