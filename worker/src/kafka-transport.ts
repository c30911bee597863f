import { systemClock } from './clock.ts';
import { connectKafka } from './kafka-connection.ts';
import { KafkaConsumer } from './kafka-consumer.ts';
import { KafkaSender } from './kafka-sender.ts';
import type { KafkaSettings } from './kafka-settings.ts';
import { KafkaTopics } from './kafka-topics.ts';
import { jsonLogger } from './log.ts';
import type { Inbox, InboxOptions, Position, SubscribeOptions, Subscription, WorkerTransport } from './transport.ts';

/**
 * Kafka as a worker's bus, on kafkajs. One serves any number of workers and clients of a process; connects when it is
 * first used. @throws TypeError without brokers
 */
export function kafkaTransport(settings: KafkaSettings): WorkerTransport {
  if (settings.brokers.length === 0) throw new TypeError('brokers: expected at least one host:port');
  return new KafkaTransport(settings);
}

/** Some 30 s, then the consumer counts as crashed. */
const CONSUMER_RETRIES = 10;
/** Questions and sends are repeated by us. */
const HASTY_RETRIES = 1;

class KafkaTransport implements WorkerTransport {
  readonly #settings: KafkaSettings;
  /** Of the consumers. */
  readonly #kafka;
  readonly #logger;
  readonly #clock;
  readonly #topics: KafkaTopics;
  readonly #sender: KafkaSender;
  readonly #consumers = new Set<KafkaConsumer>();

  constructor(settings: KafkaSettings) {
    this.#settings = settings;
    this.#logger = settings.logger ?? jsonLogger({ transport: 'kafka' });
    this.#clock = settings.clock ?? systemClock;
    this.#kafka = connectKafka(settings, this.#logger, CONSUMER_RETRIES);
    const hasty = connectKafka(settings, this.#logger, HASTY_RETRIES);
    this.#topics = new KafkaTopics({
      kafka: hasty,
      createTopics: settings.createTopics,
      startTimeoutMs: settings.startTimeoutMs ?? 120_000,
      clock: this.#clock,
      logger: this.#logger,
    });
    this.#sender = new KafkaSender({
      kafka: hasty,
      topics: this.#topics,
      maxPendingRecords: settings.maxPendingRecords ?? 20_000,
      refusedAfterMs: settings.refusedAfterMs ?? 30_000,
      clock: this.#clock,
      logger: this.#logger,
    });
  }

  ensureTopics(topics: readonly string[]): Promise<void> {
    return this.#topics.ensure(topics);
  }

  send(...[records]: Parameters<WorkerTransport['send']>): Promise<void> {
    return this.#sender.send(records);
  }

  async subscribe(options: SubscribeOptions): Promise<Subscription> {
    return this.#consume(options);
  }

  /**
   * One partition of the reply topic, picked at random, so that instances share the topic and none reads it all. Read
   * from its end as it is before the group is joined: a first join at "latest" would lose what is sent during it.
   */
  async openInbox(options: InboxOptions): Promise<Inbox> {
    const ends = [...(await this.#topics.endOffsets(options.topic))];
    const [partition, offset] = ends[Math.floor(Math.random() * ends.length)] ?? [];
    if (partition === undefined || offset === undefined) throw new Error(`${options.topic}: has no partitions`);
    const consumer = await this.#consume({
      topics: [options.topic],
      group: options.group,
      onRecords: options.onRecords,
      only: [{ topic: options.topic, partition, offset }],
    });
    const close = async () => {
      this.#consumers.delete(consumer);
      await consumer.close();
      await this.#topics.deleteGroup(options.group);
    };
    return { topic: options.topic, partition, close };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.close()));
    await this.#sender.close();
    await this.#topics.close();
  }

  async #consume(options: SubscribeOptions & { only?: readonly Position[] }): Promise<KafkaConsumer> {
    const consumer = new KafkaConsumer({
      kafka: this.#kafka,
      onRevoked: () => {},
      ...options,
      sessionTimeoutMs: this.#settings.sessionTimeoutMs ?? 30_000,
      maxWaitMs: this.#settings.maxWaitMs ?? 500,
      maxFetchBytes: this.#settings.maxFetchBytes ?? 1024 * 1024,
      joinTimeoutMs: this.#settings.joinTimeoutMs ?? 60_000,
      clock: this.#clock,
      logger: this.#logger,
    });
    this.#consumers.add(consumer);
    await consumer.start();
    return consumer;
  }
}
