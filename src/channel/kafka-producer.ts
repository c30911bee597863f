import type { Producer, ProducerRecord, RecordMetadata } from 'kafkajs';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import { disconnectWithin } from './kafka-admin.ts';
import type { KafkaClient } from './kafka-client.ts';
import { isTopicNotAuthorized, isUnknownTopic } from './kafka-errors.ts';

/** A producer that is given up may finish what it sends; what does not close in this time is cut off. */
const CLOSE_MS = 3000;
/** Reviews and renewals are this far apart at the least: well within the second after which a queue refuses its calls. */
const REVIEW_MS = 250;

export interface RenewedProducerDeps {
  /** A client of its own for each producer. */
  readonly createClient: () => KafkaClient;
  /** False where the brokers say of one of them that it is not there or barred to us. Throws where they do not answer. */
  readonly areTopicsThere: (topics: readonly string[]) => Promise<boolean>;
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Generation {
  readonly client: KafkaClient;
  readonly producer: Producer;
  /** Topics that kafkajs looks up together with every other from now on, for as long as this producer lives. */
  readonly topics: Set<string>;
  isConnected: boolean;
  connecting: Promise<void> | null;
  inFlight: number;
  onIdle: () => void;
}

/**
 * One kafkajs producer, and another in its place when it is spoilt. kafkajs 2.2.4 refreshes the metadata of every topic
 * that a producer has ever used in one request, and one that is gone by now fails the request: so one deleted topic stops
 * the publishing of all. Nor does it see partitions that were added in the last five minutes: a send to one of them ends in
 * an empty answer. The new producer knows no topic.
 *
 * What the old one has under way goes on there. Order holds, as a topic-partition has one send at a time.
 */
export class RenewedProducer implements Pick<Producer, 'send'> {
  readonly #deps: RenewedProducerDeps;
  #current: Generation;
  #isClosed = false;
  #isReviewing = false;
  /** Monotonic. */
  #nextReviewMs = Number.NEGATIVE_INFINITY;
  #nextRenewalMs = Number.NEGATIVE_INFINITY;
  readonly #retiring = new Set<Generation>();
  readonly #closing = new Set<Promise<void>>();

  constructor(deps: RenewedProducerDeps) {
    this.#deps = deps;
    this.#current = this.#make();
  }

  /** Throws what kafkajs throws; may be called again, and is by every send. */
  async connect(): Promise<void> {
    await connectOnce(this.#current);
  }

  /** As kafkajs's own. A failed send is not repeated here. */
  async send(request: ProducerRecord): Promise<RecordMetadata[]> {
    const generation = this.#current;
    generation.inFlight += 1;
    try {
      if (!generation.isConnected) await connectOnce(generation);
      // However it ends: a topic that is being deleted is in the metadata while producing to it is refused already.
      generation.topics.add(request.topic);
      const answer = await generation.producer.send(request);
      if (answer.length === 0) this.#renew(generation, 'it does not know a partition');
      return answer;
    } catch (error) {
      if (isUnknownTopic(error) || isTopicNotAuthorized(error)) void this.#review(generation);
      throw error;
    } finally {
      generation.inFlight -= 1;
      if (generation.inFlight === 0) generation.onIdle();
    }
  }

  /** Bounded. What is under way then is cut off. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const generation of this.#retiring) generation.onIdle();
    this.#retire(this.#current, 0);
    await Promise.all(this.#closing);
  }

  #make(): Generation {
    const client = this.#deps.createClient();
    const producer = client.kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner: () => (args) => args.message.partition as number,
      idempotent: false,
      retry: { retries: 0 },
    });
    return {
      client,
      producer,
      topics: new Set(),
      isConnected: false,
      connecting: null,
      inFlight: 0,
      onIdle: () => undefined,
    };
  }

  /** The topic that was sent to may be another one than that which failed it: which one, kafkajs does not say. */
  async #review(generation: Generation): Promise<void> {
    const nowMs = this.#deps.clock.monotonicMs();
    if (this.#isReviewing || nowMs < this.#nextReviewMs || generation !== this.#current) return;
    if (generation.topics.size === 0) return;
    this.#isReviewing = true;
    this.#nextReviewMs = nowMs + REVIEW_MS;
    try {
      const isWell = await this.#deps.areTopicsThere([...generation.topics]);
      if (!isWell) this.#renew(generation, 'a topic that it has used is gone');
    } catch {
      // Brokers that cannot be asked: the next failed send asks again.
    } finally {
      this.#isReviewing = false;
    }
  }

  #renew(spoilt: Generation, reason: string): void {
    const nowMs = this.#deps.clock.monotonicMs();
    if (this.#isClosed || this.#current !== spoilt || nowMs < this.#nextRenewalMs) return;
    this.#nextRenewalMs = nowMs + REVIEW_MS;
    this.#deps.logger.debug({ reason }, 'the producer is built anew');
    this.#current = this.#make();
    this.#retire(spoilt, this.#deps.requestTimeoutMs + CLOSE_MS);
  }

  #retire(generation: Generation, idleWithinMs: number): void {
    this.#retiring.add(generation);
    const closed = this.#closeWhenIdle(generation, idleWithinMs).finally(() => {
      this.#retiring.delete(generation);
      this.#closing.delete(closed);
    });
    this.#closing.add(closed);
  }

  async #closeWhenIdle(generation: Generation, withinMs: number): Promise<void> {
    const { clock } = this.#deps;
    if (generation.inFlight > 0 && withinMs > 0) {
      await new Promise<void>((resolve) => {
        const cancel = clock.setTimer(resolve, withinMs);
        generation.onIdle = () => {
          cancel();
          resolve();
        };
      });
    }
    await disconnectWithin(CLOSE_MS, clock, generation.producer, generation.client);
  }
}

/** A failed connect is tried again by the next send. */
function connectOnce(generation: Generation): Promise<void> {
  if (generation.isConnected) return Promise.resolve();
  generation.connecting ??= generation.producer
    .connect()
    .then(() => {
      generation.isConnected = true;
    })
    .finally(() => {
      generation.connecting = null;
    });
  return generation.connecting;
}
