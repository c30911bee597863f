import { randomUUID } from 'node:crypto';
import { systemClock } from './clock.ts';
import { connectKafka } from './kafka-connection.ts';
import { KafkaConsumer, type KafkaConsumerOptions } from './kafka-consumer.ts';
import { KafkaSender } from './kafka-sender.ts';
import type { KafkaSettings } from './kafka-settings.ts';
import { KafkaTopics } from './kafka-topics.ts';
import { watchKafkaTopic } from './kafka-watch.ts';
import { jsonLogger } from './log.ts';
import type {
  Inbox,
  InboxOptions,
  Position,
  SubscribeOptions,
  Subscription,
  TopicWatch,
  WatchOptions,
  WorkerTransport,
} from './transport.ts';

/**
 * Kafka as a worker's bus, on kafkajs. One serves any number of workers and clients of a process; connects when it is
 * first used. @throws TypeError without brokers
 */
export function kafkaTransport(settings: KafkaSettings): WorkerTransport {
  if (settings.brokers.length === 0) throw new TypeError('brokers: expected at least one host:port');
  return new KafkaTransport(settings);
}

/** Consumers, questions and sends are repeated by us, and with them what the client remembers is made anew. */
const CONSUMER_RETRIES = 3;
const HASTY_RETRIES = 1;

class KafkaTransport implements WorkerTransport {
  readonly #settings: KafkaSettings;
  /** Of the consumers. */
  readonly #kafka;
  readonly #logger;
  readonly #clock;
  /** Of questions and sends. */
  readonly #hasty;
  readonly #topics: KafkaTopics;
  readonly #sender: KafkaSender;
  readonly #consumers = new Set<KafkaConsumer>();

  constructor(settings: KafkaSettings) {
    this.#settings = settings;
    this.#logger = settings.logger ?? jsonLogger({ transport: 'kafka' });
    this.#clock = settings.clock ?? systemClock;
    this.#kafka = connectKafka(settings, this.#logger, CONSUMER_RETRIES);
    this.#hasty = connectKafka(settings, this.#logger, HASTY_RETRIES);
    this.#topics = new KafkaTopics({
      kafka: this.#hasty,
      createTopics: settings.createTopics,
      startTimeoutMs: settings.startTimeoutMs ?? 120_000,
      clock: this.#clock,
      logger: this.#logger,
    });
    this.#sender = new KafkaSender({
      kafka: this.#hasty,
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
      from: [{ topic: options.topic, partition, offset }],
      onlyThose: true,
    });
    const close = async () => {
      await this.#discard(consumer);
      await this.#topics.deleteGroup(options.group);
    };
    return { topic: options.topic, partition, close };
  }

  /** In a group of this process's own, which goes when it is left. */
  async watchTopic(options: WatchOptions): Promise<TopicWatch | null> {
    const group = `${options.group}.control.${randomUUID()}`;
    let consumer: KafkaConsumer | null = null;
    const createConsumer = (from: readonly Position[], onRecords: WatchOptions['onRecords']) => {
      consumer = this.#create({ topics: [options.topic], group, onRecords, from });
      return consumer;
    };
    const close = async () => {
      if (consumer === null) return;
      await this.#discard(consumer);
      await this.#topics.deleteGroup(group);
    };
    try {
      const deps = { kafka: this.#hasty, createConsumer, clock: this.#clock };
      return (await watchKafkaTopic(options, deps)) ? { close } : null;
    } catch (error) {
      await close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.close()));
    await this.#sender.close();
    await this.#topics.close();
  }

  async #consume(options: ConsumeOptions): Promise<KafkaConsumer> {
    const consumer = this.#create(options);
    await consumer.start();
    return consumer;
  }

  #create(options: ConsumeOptions): KafkaConsumer {
    const consumer = new KafkaConsumer({
      kafka: this.#kafka,
      onRevoked: () => {},
      ...options,
      sessionTimeoutMs: this.#settings.sessionTimeoutMs ?? 10_000,
      maxWaitMs: this.#settings.maxWaitMs ?? 500,
      maxFetchBytes: this.#settings.maxFetchBytes ?? 1024 * 1024,
      joinTimeoutMs: this.#settings.joinTimeoutMs ?? 60_000,
      clock: this.#clock,
      logger: this.#logger,
    });
    this.#consumers.add(consumer);
    return consumer;
  }

  async #discard(consumer: KafkaConsumer): Promise<void> {
    this.#consumers.delete(consumer);
    await consumer.close();
  }
}

type ConsumeOptions = SubscribeOptions & Pick<KafkaConsumerOptions, 'from' | 'onlyThose'>;
