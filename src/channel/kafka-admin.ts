import type { Admin } from 'kafkajs';
import type { Clock } from '../runtime/clock.ts';
import type { KafkaClient } from './kafka-client.ts';
import { isConnectionTrouble, isTopicNotAuthorized, isUnknownTopic } from './kafka-errors.ts';

/** An admin that is given up and does not close in this time is cut off. */
const CLOSE_MS = 3000;

export interface RenewedAdminDeps {
  /** A client of its own for each admin, so that one that hangs can be cut off. */
  readonly createClient: () => KafkaClient;
  readonly clock: Clock;
  /** Longer than any question takes, its repeats included. */
  readonly limitMs: number;
}

interface Generation {
  readonly client: KafkaClient;
  readonly admin: Admin;
}

/**
 * Asks the brokers through one kafkajs admin, and takes a new one where the old one is spoilt: kafkajs 2.2.4 keeps the
 * metadata of topics for five minutes. In that time it fails on a leader that has changed, does not see partitions that
 * were added, and of a topic that was deleted says no more than a TypeError of its own. A question for offsets by topic also
 * makes it look that topic up with every later question, and all of them fail while the topic is not there: such questions
 * need an admin of their own.
 */
export class RenewedAdmin {
  readonly #deps: RenewedAdminDeps;
  #current: Generation;
  #isClosed = false;
  /** Ends the wait of each question that has no answer yet. */
  readonly #waits = new Set<(reason: Error) => void>();
  readonly #closing = new Set<Promise<void>>();

  constructor(deps: RenewedAdminDeps) {
    this.#deps = deps;
    this.#current = this.#make();
  }

  /** Throws what kafkajs throws. A question that found the admin spoilt is asked once more. */
  async ask<Answer>(question: (admin: Admin) => Promise<Answer>): Promise<Answer> {
    const asked = this.#current;
    try {
      return await this.#inTime(question(asked.admin));
    } catch (error) {
      // Answers of the brokers, or none: another admin would hear the same.
      if (isUnknownTopic(error) || isTopicNotAuthorized(error) || isConnectionTrouble(error)) throw error;
      this.#renew(asked);
      if (!(error instanceof TypeError) || this.#isClosed) throw error;
      return await this.#inTime(question(this.#current.admin));
    }
  }

  /** The next question is asked with nothing remembered. */
  forget(): void {
    this.#renew(this.#current);
  }

  /** Bounded. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const end of this.#waits) end(new Error('the channel is being closed'));
    this.#retire(this.#current);
    await Promise.all(this.#closing);
  }

  /** Nothing may hang for good: what waits for one answer would never ask again. */
  async #inTime<Answer>(answer: Promise<Answer>): Promise<Answer> {
    const { clock, limitMs } = this.#deps;
    const { promise: ended, reject: end } = Promise.withResolvers<never>();
    const cancel = clock.setTimer(() => end(new Error(`Kafka did not answer within ${limitMs} ms`)), limitMs);
    this.#waits.add(end);
    try {
      return await Promise.race([answer, ended]);
    } finally {
      cancel();
      this.#waits.delete(end);
    }
  }

  #make(): Generation {
    const client = this.#deps.createClient();
    return { client, admin: client.kafka.admin() };
  }

  #renew(spoilt: Generation): void {
    if (this.#isClosed || this.#current !== spoilt) return;
    this.#current = this.#make();
    this.#retire(spoilt);
  }

  #retire({ admin, client }: Generation): void {
    const closed = disconnectWithin(CLOSE_MS, this.#deps.clock, admin, client).finally(() =>
      this.#closing.delete(closed),
    );
    this.#closing.add(closed);
  }
}

/** kafkajs waits for answers that a broken broker never gives; so not for longer than `limitMs`. Never rejects. */
export async function disconnectWithin(
  limitMs: number,
  clock: Clock,
  user: { disconnect(): Promise<void> },
  client: KafkaClient,
): Promise<void> {
  let cancel = () => {};
  const tooLate = new Promise<void>((resolve) => {
    cancel = clock.setTimer(resolve, limitMs);
  });
  await Promise.race([user.disconnect().catch(() => undefined), tooLate]);
  cancel();
  client.close();
}
