// What keeps recorded commands from the log, at a test's word and for one gateway alone: the broker is shared.
import type { Channel } from '../../../src/channel/channel.ts';
import { type CommandPublisher, type CommandRecord, PublishError } from '../../../src/operations/channel-ports.ts';

/** `held`: a send is under way and its end is not known. `away`: every send is refused, so nothing can have left. */
type State = 'open' | 'held' | 'away';

/** Give `wrap` to a gateway as `wrapChannel`. Behind the gate is the real publisher. */
export class PublishGate {
  #state: State = 'open';
  #passage = Promise.withResolvers<void>();

  hold(): void {
    this.#state = 'held';
    this.#passage = Promise.withResolvers();
  }

  refuse(): void {
    this.#state = 'away';
  }

  open(): void {
    this.#state = 'open';
    this.#passage.resolve();
  }

  readonly wrap = (channel: Channel): Channel => {
    const gated: CommandPublisher = {
      assertFits: (record) => channel.publisher.assertFits(record),
      publish: (record, giveUpAtMs) => this.#publish(channel, record, giveUpAtMs),
    };
    const { sender, workers, replies } = channel;
    return {
      publisher: gated,
      sender,
      workers,
      replies,
      ensureTopics: (commandTopics) => channel.ensureTopics(commandTopics),
      degraded: () => channel.degraded(),
      stop: () => channel.stop(),
    };
  };

  async #publish({ publisher }: Channel, record: CommandRecord, giveUpAtMs: number) {
    if (this.#state === 'away') {
      const refused = { certainlyNotSent: true, definite: false };
      throw new PublishError('unreachable', 'the gate is shut', refused);
    }
    if (this.#state === 'held') await this.#passage.promise;
    return publisher.publish(record, giveUpAtMs);
  }
}
