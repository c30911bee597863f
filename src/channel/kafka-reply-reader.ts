import type { EachBatchPayload, IHeaders, KafkaMessage } from 'kafkajs';
import type { Reply } from '../operations/reply.ts';
import type { ReplyBatch } from '../replies/ports.ts';
import type { KafkaChannelConfig } from './kafka-config.ts';
import { ReplyLane } from './kafka-lane.ts';
import { ReplyConsumer, type ReplyConsumerDeps, type ReplyGroup } from './kafka-reply-consumer.ts';
import { isUnreadable, readReply } from './read-reply.ts';

export type OnReplyBatch = (batch: ReplyBatch) => Promise<void> | void;

export type ReplyReaderDeps = Omit<ReplyConsumerDeps, 'handler'>;

/**
 * Reads partitions of the reply topic through one consumer, each from where it was asked to and one batch at a time.
 * Positions are kept here and given to kafkajs anew whenever it joins its group: it forgets them.
 */
export class ReplyReader {
  readonly #config: KafkaChannelConfig;
  readonly #deps: ReplyReaderDeps;
  readonly #onBatch: OnReplyBatch;
  readonly #consumer: ReplyConsumer;
  readonly #lanes = new Map<number, ReplyLane>();

  constructor(config: KafkaChannelConfig, group: ReplyGroup, onBatch: OnReplyBatch, deps: ReplyReaderDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#onBatch = onBatch;
    this.#consumer = new ReplyConsumer(config, group, {
      ...deps,
      handler: {
        positionOf: (partition) => this.#openPosition(partition),
        onBatch: (payload) => this.#receive(payload),
        onEmptied: (partition, firstOffset, lastOffset) => this.#pass(partition, firstOffset, lastOffset),
      },
    });
  }

  /** Joins in the background: Kafka may be away. */
  start(): void {
    this.#consumer.start();
  }

  adopt(partition: number, fromOffset: bigint): void {
    this.#laneOf(partition).move(fromOffset);
    this.#consumer.open(partition, fromOffset);
  }

  abandon(partition: number): void {
    this.#laneOf(partition).move(null);
    this.#consumer.shut(partition);
  }

  trouble(): string | null {
    return this.#consumer.trouble();
  }

  outage(): string | null {
    return this.#consumer.outage();
  }

  /** No batch begins after the call; one that is being taken is not waited for. Resolves when the group was left; bounded. */
  async stop(): Promise<void> {
    for (const lane of this.#lanes.values()) lane.move(null);
    await this.#consumer.stop();
  }

  #openPosition(partition: number): bigint | null {
    const lane = this.#lanes.get(partition);
    return lane?.isOpen ? lane.position : null;
  }

  #laneOf(partition: number): ReplyLane {
    const known = this.#lanes.get(partition);
    if (known) return known;
    const lane = new ReplyLane(partition, {
      deliver: (batch) => this.#deliver(batch),
      onFull: () => this.#consumer.shut(partition),
      onDrained: () => this.#consumer.open(partition, lane.position as bigint),
    });
    this.#lanes.set(partition, lane);
    return lane;
  }

  /** What the taker throws is a defect; reading goes on. */
  #deliver(batch: ReplyBatch): Promise<void> | void {
    const tell = (error: unknown) =>
      this.#deps.logger.error({ error: String(error), partition: batch.partition }, 'a batch of replies was not taken');
    try {
      return this.#onBatch(batch)?.catch(tell);
    } catch (error) {
      tell(error);
    }
  }

  #receive({ batch, isStale, resolveOffset }: EachBatchPayload): void {
    const lane = this.#lanes.get(batch.partition);
    // Fetched before the partition was moved or given up: kafkajs fetches again from where it was moved to.
    if (lane === undefined || lane.position === null || isStale()) return;
    const lastOffset = batch.lastOffset();
    resolveOffset(lastOffset);
    lane.push(this.#toBatch(batch.partition, batch.messages, BigInt(lastOffset) + 1n));
  }

  /**
   * A batch of nothing but commit markers and aborted records: kafkajs shows nobody, and moves on. So must the position,
   * but only where the batch began at it: after a move back a late one would skip replies.
   */
  #pass(partition: number, firstOffset: bigint, lastOffset: bigint): void {
    const lane = this.#lanes.get(partition);
    if (lane?.position !== firstOffset) return;
    lane.push({ partition, replies: [], unreadable: [], nextOffset: lastOffset + 1n });
  }

  #toBatch(partition: number, messages: readonly KafkaMessage[], nextOffset: bigint): ReplyBatch {
    const topic = this.#config.replyTopic;
    const read = messages.map((message) =>
      readReply(
        {
          position: { topic, partition, offset: BigInt(message.offset) },
          key: message.key,
          value: message.value,
          headers: listHeaders(message.headers),
          timestampMs: Number(message.timestamp),
        },
        this.#config,
      ),
    );
    return {
      partition,
      replies: read.filter((reply) => !isUnreadable(reply)) as Reply[],
      unreadable: read.filter(isUnreadable),
      nextOffset,
    };
  }
}

/** kafkajs groups values by name; the order among equal names is what counts. */
function listHeaders(headers: IHeaders | undefined): [string, Uint8Array][] {
  const list: [string, Uint8Array][] = [];
  for (const name in headers) {
    const value = headers[name];
    if (Array.isArray(value)) for (const each of value) list.push([name, toBytes(each)]);
    else list.push([name, toBytes(value)]);
  }
  return list;
}

function toBytes(value: string | Buffer | null | undefined): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : (value ?? new Uint8Array());
}
