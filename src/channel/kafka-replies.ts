import type { ReplyBatch, ReplySource, Reread } from '../replies/ports.ts';
import type { RenewedAdmin } from './kafka-admin.ts';
import { assignAllPartitions, assignOnly } from './kafka-assigner.ts';
import type { TopicCatalog } from './kafka-catalog.ts';
import type { KafkaChannelConfig } from './kafka-config.ts';
import { type OnReplyBatch, ReplyReader, type ReplyReaderDeps } from './kafka-reply-reader.ts';

export interface KafkaReplySourceDeps extends ReplyReaderDeps {
  readonly admin: Pick<RenewedAdmin, 'ask' | 'forget'>;
  readonly catalog: Pick<TopicCatalog, 'lookUp'>;
}

type Bounds = ReadonlyMap<number, { readonly start: bigint; readonly end: bigint }>;

/**
 * The reply topic, read by one consumer that is assigned all partitions and fetches from those that were adopted; and, for
 * as long as somebody reads a partition again, by a consumer more.
 */
export class KafkaReplySource implements ReplySource {
  readonly topic: string;
  readonly canReread = true;
  readonly #config: KafkaChannelConfig;
  readonly #deps: KafkaReplySourceDeps;
  readonly #groupId: string;
  readonly #reader: ReplyReader;
  readonly #rereaders = new Set<ReplyReader>();
  #rereads = 0;
  #onBatch: OnReplyBatch = () => undefined;

  constructor(config: KafkaChannelConfig, deps: KafkaReplySourceDeps) {
    this.topic = config.replyTopic;
    this.#config = config;
    this.#deps = deps;
    this.#groupId = `${config.namespace}sluice-replies-${config.bootId}`;
    const group = { groupId: this.#groupId, assigner: assignAllPartitions };
    this.#reader = new ReplyReader(config, group, (batch) => this.#onBatch(batch), deps);
  }

  /** As the brokers say now. Throws where they cannot be asked. */
  async partitions(): Promise<readonly number[]> {
    const { partitionCount } = await this.#deps.catalog.lookUp(this.topic);
    return Array.from({ length: partitionCount }, (_, partition) => partition);
  }

  /**
   * The end is that of committed records, past which no position of ours can move: a worker's open transaction holds it.
   * Throws where the brokers cannot be asked.
   */
  async bounds(partitions: readonly number[]): Promise<Bounds> {
    const known = await this.#askBounds();
    const isWhole = partitions.every((partition) => known.has(partition));
    // One that was added since kafkajs last looked.
    if (!isWhole) this.#deps.admin.forget();
    const all = isWhole ? known : await this.#askBounds();
    return new Map([...all].filter(([partition]) => partitions.includes(partition)));
  }

  /** Joins in the background: Kafka may be away. `trouble` tells when reading has begun. */
  async start(onBatch: (batch: ReplyBatch) => Promise<void> | void): Promise<void> {
    this.#onBatch = onBatch;
    this.#reader.start();
  }

  /** A partition that was added a moment ago is read as soon as the consumer has seen it. */
  adopt(partition: number, fromOffset: bigint): void {
    this.#reader.adopt(partition, fromOffset);
  }

  abandon(partition: number): void {
    this.#reader.abandon(partition);
  }

  /** In a group of its own. A batch that is being taken is not waited for by `stop`; none begins after it. */
  reread(partition: number, fromOffset: bigint, onBatch: OnReplyBatch): Reread {
    this.#rereads += 1;
    const group = { groupId: `${this.#groupId}-reread-${this.#rereads}`, assigner: assignOnly(partition) };
    const reader = new ReplyReader(this.#config, group, onBatch, this.#deps);
    this.#rereaders.add(reader);
    reader.adopt(partition, fromOffset);
    reader.start();
    return {
      stop: async () => {
        await reader.stop();
        this.#rereaders.delete(reader);
      },
    };
  }

  /** An outage of Kafka is not this instance's fault: see `outage`. */
  trouble(): string | null {
    return this.#reader.trouble();
  }

  /** Why replies cannot be read from Kafka now, where that is no fault of this instance. */
  outage(): string | null {
    return this.#reader.outage();
  }

  async stop(): Promise<void> {
    await Promise.all([this.#reader, ...this.#rereaders].map((reader) => reader.stop()));
  }

  async #askBounds(): Promise<Bounds> {
    const offsets = await this.#deps.admin
      .ask((admin) => admin.fetchTopicOffsets(this.topic))
      .catch((error: Error) => {
        // Of a topic whose partitions have no leader yet, kafkajs 2.2.4 ends in a TypeError of its own.
        throw error instanceof TypeError ? new Error(`topic ${this.topic} has no leader yet`, { cause: error }) : error;
      });
    return new Map(offsets.map(({ partition, low, high }) => [partition, { start: BigInt(low), end: BigInt(high) }]));
  }
}
