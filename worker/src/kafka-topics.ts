import { type Admin, type Kafka, Partitioners, type PartitionMetadata } from 'kafkajs';
import type { Clock } from './clock.ts';
import type { KafkaSettings } from './kafka-settings.ts';
import { repeatUntilUp } from './kafka-start.ts';
import type { Logger } from './log.ts';

const METADATA_AGE_MS = 60_000;

export interface KafkaTopicsOptions {
  readonly kafka: Pick<Kafka, 'admin'>;
  readonly createTopics: KafkaSettings['createTopics'];
  readonly startTimeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * What is asked of a cluster beside producing and consuming. Its connection opens at the first question. What a start
 * asks is repeated while the brokers are not up yet; the rest is asked once.
 */
export class KafkaTopics {
  readonly #options: KafkaTopicsOptions;
  readonly #closing = new AbortController();
  readonly #partitioner = Partitioners.DefaultPartitioner();
  readonly #metadata = new Map<string, { partitions: Promise<PartitionMetadata[]>; untilMs: number }>();
  #admin: Promise<Admin> | null = null;
  #reaching: Promise<Admin> | null = null;

  constructor(options: KafkaTopicsOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the topics are there and have leaders. Another process may make them at the same time.
   * @throws Error that names the topics that are missing, and how they may be made
   */
  async ensure(topics: readonly string[]): Promise<void> {
    const existing = new Set(await this.#askAtStart('listing topics', (admin) => admin.listTopics()));
    const missing = topics.filter((topic) => !existing.has(topic));
    if (missing.length === 0) return;
    if (!this.#options.createTopics) {
      throw new Error(
        `topics missing: ${missing.join(', ')}. Make them, or let the worker: kafkaTransport({ createTopics: { partitions: 6 } })`,
      );
    }
    await this.#askAtStart('making topics', (admin) => this.#create(admin, missing));
    await this.#askAtStart('waiting for new topics', (admin) => awaitLeaders(admin, missing));
  }

  /** Those that are there already, for another process was faster, are no error. */
  async #create(admin: Admin, topics: readonly string[]): Promise<void> {
    const { partitions, replicationFactor } = this.#options.createTopics || { partitions: -1 };
    // -1: the broker's default.
    const plans = topics.map((topic) => ({
      topic,
      numPartitions: partitions,
      replicationFactor: replicationFactor ?? -1,
    }));
    try {
      // kafkajs's own wait for leaders fails on a broker that has not heard of the topic yet.
      await admin.createTopics({ waitForLeaders: false, topics: plans });
    } catch (error) {
      const refusals = readRefusals(error);
      if (refusals.length === 0) throw error;
      const refused = refusals.filter(({ type }) => type !== 'TOPIC_ALREADY_EXISTS');
      if (refused.length === 0) return;
      const reasons = refused.map(({ topic, message }) => `${topic} (${message})`);
      throw new Error(`topics missing that could not be made: ${reasons.join(', ')}`, { cause: refused[0] });
    }
  }

  /** The partition of a key, by the hash that the Java client uses. */
  async choosePartition(topic: string, key: Uint8Array | null): Promise<number> {
    const partitionMetadata = await this.#partitionsOf(topic);
    const message = { key: key === null ? null : Buffer.from(key), value: null };
    return this.#partitioner({ topic, partitionMetadata, message });
  }

  /** The offset that the next record will have, by partition. */
  async endOffsets(topic: string): Promise<Map<number, bigint>> {
    const offsets = await this.#askAtStart(`finding the end of ${topic}`, (admin) => readTopicOffsets(admin, topic));
    return new Map(offsets.map(({ partition, high }) => [partition, BigInt(high)]));
  }

  /** Best effort: an empty group without offsets goes by itself sooner or later. */
  async deleteGroup(group: string): Promise<void> {
    const admin = await this.#connect();
    await admin.deleteGroups([group]).catch(() => {});
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const admin = await this.#admin?.catch(() => null);
    await admin?.disconnect();
  }

  #partitionsOf(topic: string): Promise<PartitionMetadata[]> {
    const known = this.#metadata.get(topic);
    if (known && known.untilMs > this.#options.clock.nowMs()) return known.partitions;
    const partitions = this.#fetchPartitions(topic);
    this.#metadata.set(topic, { partitions, untilMs: this.#options.clock.nowMs() + METADATA_AGE_MS });
    // A failure is not worth keeping.
    partitions.catch(() => this.#metadata.delete(topic));
    return partitions;
  }

  async #fetchPartitions(topic: string): Promise<PartitionMetadata[]> {
    const admin = await this.#connect();
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    return topics[0]?.partitions ?? [];
  }

  async #askAtStart<Answer>(what: string, ask: (admin: Admin) => Promise<Answer>): Promise<Answer> {
    // Workers and clients that start together wait for the brokers together, and say so once.
    this.#reaching ??= this.#repeat('reaching Kafka', () => this.#connect()).finally(() => {
      this.#reaching = null;
    });
    await this.#reaching;
    return this.#repeat(what, async () => ask(await this.#connect()));
  }

  #repeat<Answer>(what: string, attempt: () => Promise<Answer>): Promise<Answer> {
    const { startTimeoutMs: timeoutMs, clock, logger } = this.#options;
    return repeatUntilUp({ what, timeoutMs, clock, logger, signal: this.#closing.signal }, attempt);
  }

  #connect(): Promise<Admin> {
    this.#admin ??= this.#open();
    return this.#admin;
  }

  async #open(): Promise<Admin> {
    const admin = this.#options.kafka.admin();
    try {
      await admin.connect();
      return admin;
    } catch (error) {
      this.#admin = null;
      throw error;
    }
  }
}

/** Rejects, in a way that is worth a repetition, until each partition of the topics has a leader. */
async function awaitLeaders(admin: Admin, topics: readonly string[]): Promise<void> {
  const found = await admin.fetchTopicMetadata({ topics: [...topics] });
  const led = found.topics.filter(({ partitions }) => partitions.length > 0 && partitions.every((p) => p.leader >= 0));
  if (led.length < topics.length) throw new TopicsNotReadyError();
}

class TopicsNotReadyError extends Error {
  readonly type = 'LEADER_NOT_AVAILABLE';
  readonly retriable = true;

  constructor() {
    super('some partitions have no leader yet');
  }
}

interface Refusal extends Error {
  readonly topic?: string;
  readonly type?: string;
}

/** kafkajs reports all topics that were refused in one error. */
function readRefusals(error: unknown): readonly Refusal[] {
  const { name, errors } = error as { name?: string; errors?: readonly Refusal[] };
  return name === 'KafkaJSAggregateError' ? (errors ?? []) : [];
}

/** Of a topic whose partitions have no leader yet, kafkajs 2.2.4 ends in a TypeError of its own: that is "not yet" too. */
export async function readTopicOffsets(
  admin: Pick<Admin, 'fetchTopicOffsets'>,
  topic: string,
): ReturnType<Admin['fetchTopicOffsets']> {
  try {
    return await admin.fetchTopicOffsets(topic);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const notYet = new Error(`topic ${topic} has no leader yet`, { cause: error });
    notYet.name = 'KafkaJSTopicMetadataNotLoaded';
    throw notYet;
  }
}
