import { type Admin, type Kafka, Partitioners, type PartitionMetadata } from 'kafkajs';
import type { Clock } from './clock.ts';
import type { KafkaSettings } from './kafka-settings.ts';

const METADATA_AGE_MS = 60_000;

/** What is asked of a cluster beside producing and consuming. Its connection opens at the first question. */
export class KafkaTopics {
  readonly #kafka: Kafka;
  readonly #createTopics: KafkaSettings['createTopics'];
  readonly #clock: Clock;
  readonly #partitioner = Partitioners.DefaultPartitioner();
  readonly #metadata = new Map<string, { partitions: Promise<PartitionMetadata[]>; untilMs: number }>();
  #admin: Promise<Admin> | null = null;

  constructor(kafka: Kafka, createTopics: KafkaSettings['createTopics'], clock: Clock) {
    this.#kafka = kafka;
    this.#createTopics = createTopics;
    this.#clock = clock;
  }

  /** @throws Error that names the topics that are missing, and how they may be made */
  async ensure(topics: readonly string[]): Promise<void> {
    const admin = await this.#connect();
    const existing = new Set(await admin.listTopics());
    const missing = topics.filter((topic) => !existing.has(topic));
    if (missing.length === 0) return;
    if (!this.#createTopics) {
      throw new Error(
        `topics missing: ${missing.join(', ')}. Make them, or let the worker: kafkaTransport({ createTopics: { partitions: 6 } })`,
      );
    }
    const { partitions, replicationFactor } = this.#createTopics;
    await admin.createTopics({
      waitForLeaders: true,
      // -1: the broker's default.
      topics: missing.map((topic) => ({
        topic,
        numPartitions: partitions,
        replicationFactor: replicationFactor ?? -1,
      })),
    });
  }

  /** The partition of a key, by the hash that the Java client uses. */
  async choosePartition(topic: string, key: Uint8Array | null): Promise<number> {
    const partitionMetadata = await this.#partitionsOf(topic);
    const message = { key: key === null ? null : Buffer.from(key), value: null };
    return this.#partitioner({ topic, partitionMetadata, message });
  }

  /** The offset that the next record will have, by partition. */
  async endOffsets(topic: string): Promise<Map<number, bigint>> {
    const admin = await this.#connect();
    const offsets = await admin.fetchTopicOffsets(topic);
    return new Map(offsets.map(({ partition, high }) => [partition, BigInt(high)]));
  }

  /** Best effort: an empty group without offsets goes by itself sooner or later. */
  async deleteGroup(group: string): Promise<void> {
    const admin = await this.#connect();
    await admin.deleteGroups([group]).catch(() => {});
  }

  async close(): Promise<void> {
    const admin = await this.#admin?.catch(() => null);
    await admin?.disconnect();
  }

  #partitionsOf(topic: string): Promise<PartitionMetadata[]> {
    const known = this.#metadata.get(topic);
    if (known && known.untilMs > this.#clock.nowMs()) return known.partitions;
    const partitions = this.#fetchPartitions(topic);
    this.#metadata.set(topic, { partitions, untilMs: this.#clock.nowMs() + METADATA_AGE_MS });
    // A failure is not worth keeping.
    partitions.catch(() => this.#metadata.delete(topic));
    return partitions;
  }

  async #fetchPartitions(topic: string): Promise<PartitionMetadata[]> {
    const admin = await this.#connect();
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    return topics[0]?.partitions ?? [];
  }

  #connect(): Promise<Admin> {
    this.#admin ??= this.#open();
    return this.#admin;
  }

  async #open(): Promise<Admin> {
    const admin = this.#kafka.admin();
    try {
      await admin.connect();
      return admin;
    } catch (error) {
      this.#admin = null;
      throw error;
    }
  }
}
