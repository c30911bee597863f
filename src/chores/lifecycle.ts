import { type Chore, repeatWhileMore } from './chore.ts';
import type { OwedChoreDeps, OwedChoreOptions } from './dead-letters.ts';
import type { OwedEvent } from './ports.ts';

/** Puts the events of operations on the topic of lifecycle events, those of one operation in the order of their numbers. */
export class Lifecycle implements Chore {
  readonly name = 'lifecycle';
  readonly everyMs: number;
  readonly #limit: number;
  readonly #deps: OwedChoreDeps;

  constructor(options: OwedChoreOptions, deps: OwedChoreDeps) {
    this.everyMs = options.everyMs;
    this.#limit = options.batchSize;
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    await repeatWhileMore(signal, async () => {
      const events = await this.#deps.owed.listOwedEvents(this.#limit);
      await this.#sendAll(events, signal);
      return events.length === this.#limit;
    });
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
