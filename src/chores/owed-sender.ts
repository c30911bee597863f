import { type OwnRecord, PublishError, type RecordSender } from '../operations/channel-ports.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import { type ChoreCounters, orAborted } from './chore.ts';

/** While the bus is away, a record waits so long in one look; it is still owed at the next. */
const GIVE_UP_MS = 5000;

/** Sends records that are owed to topics of ours. They stay owed until the broker has them, so each may come twice. */
export class OwedSender {
  readonly #deps: { sender: RecordSender; clock: Clock; logger: Logger; counters: ChoreCounters };

  constructor(deps: { sender: RecordSender; clock: Clock; logger: Logger; counters: ChoreCounters }) {
    this.#deps = deps;
  }

  /** `refused`: for good. Throws `PublishError`, and at once when `signal` aborts. */
  async send(record: OwnRecord, signal: AbortSignal): Promise<'sent' | 'refused'> {
    const { sender, clock } = this.#deps;
    try {
      await orAborted(sender.send(record, clock.monotonicMs() + GIVE_UP_MS), signal);
      return 'sent';
    } catch (error) {
      if (error instanceof PublishError && error.definite) return 'refused';
      throw error;
    }
  }

  /** The same where nothing is left to be tried: what is refused is logged and counted, and no longer owed. */
  async sendOrDrop(chore: string, operationId: string, record: OwnRecord, signal: AbortSignal): Promise<void> {
    if ((await this.send(record, signal)) === 'sent') return;
    this.#deps.counters.refused.add(1, chore);
    this.#deps.logger.error(
      { chore, operationId, topic: record.topic },
      'a topic refuses a record of ours for good: the record is dropped',
    );
  }
}

/** Sends each item and clears those that are settled, then throws what has kept the others. */
export async function payEach<Item>(
  items: readonly Item[],
  send: (item: Item) => Promise<void>,
  clear: (paid: readonly Item[]) => Promise<void>,
): Promise<void> {
  const outcomes = await Promise.allSettled(items.map(send));
  const paid = items.filter((_, index) => outcomes[index]?.status === 'fulfilled');
  if (paid.length > 0) await clear(paid);
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) throw failed.reason;
}
