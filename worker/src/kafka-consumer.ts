import type { Consumer, ConsumerGroupJoinEvent, EachBatchPayload, Kafka, KafkaMessage } from 'kafkajs';
import { type Clock, delay } from './clock.ts';
import { repeatUntilUp } from './kafka-start.ts';
import type { Logger } from './log.ts';
import type { IncomingRecord, Position, Subscription, TopicPartition } from './transport.ts';

export interface KafkaConsumerOptions {
  readonly kafka: Kafka;
  readonly topics: readonly string[];
  readonly group: string;
  readonly onRecords: (records: readonly IncomingRecord[]) => void;
  readonly onRevoked: (partitions: readonly TopicPartition[]) => void;
  /** Reads these partitions alone, from these offsets, whatever the group has committed. */
  readonly only?: readonly Position[];
  readonly sessionTimeoutMs: number;
  readonly maxWaitMs: number;
  readonly maxFetchBytes: number;
  readonly joinTimeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

type CommitOffsets = EachBatchPayload['commitOffsetsIfNecessary'];

const FIRST_BACKOFF_MS = 200;
const MAX_BACKOFF_MS = 10_000;

/**
 * A member of a consumer group that outlives what kafkajs does not: a crash that it calls non-retriable and a fetch loop
 * that stands still end in a new consumer; positions, which a rejoin forgets, are sought again.
 *
 * Invariant: `#positions` holds the next offset of each partition that this member owns and has read from. A partition
 * is kept over a rejoin only with the same member id: with another one somebody else may have owned it in between.
 */
export class KafkaConsumer implements Subscription {
  readonly #options: KafkaConsumerOptions;
  readonly #positions = new Map<string, Position>();
  readonly #closing = new AbortController();
  #consumer: Consumer | null = null;
  #memberId = '';
  /** Straight to the coordinator: `consumer.commitOffsets` would start a second rejoin when the group rebalances. */
  #commitOffsets: CommitOffsets | null = null;
  #paused = false;
  #joined: PromiseWithResolvers<void> = Promise.withResolvers();
  #rebuilding: Promise<void> | null = null;
  #lastFetchMs = 0;
  #cancelWatch: () => void = () => {};

  constructor(options: KafkaConsumerOptions) {
    this.#options = options;
    for (const position of options.only ?? []) this.#positions.set(nameOf(position), position);
  }

  /** Resolves when the group has taken this member in. */
  async start(): Promise<void> {
    const { clock, logger, joinTimeoutMs, group } = this.#options;
    const { promise, reject } = this.#joined;
    // Rejected while the build still runs, it must not count as unhandled.
    promise.catch(() => {});
    const cancel = clock.setTimer(
      () => reject(new Error(`group ${group}: not joined within ${joinTimeoutMs} ms`)),
      joinTimeoutMs,
    );
    try {
      const patience = { what: `joining group ${group}`, timeoutMs: joinTimeoutMs, clock, logger };
      await repeatUntilUp({ ...patience, signal: this.#closing.signal }, async () => {
        await this.#disconnect();
        await this.#build();
      });
      await promise;
      this.#watch();
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      cancel();
    }
  }

  pause(): void {
    this.#paused = true;
    this.#applyPause();
  }

  resume(): void {
    this.#paused = false;
    this.#consumer?.resume(this.#fetched());
  }

  async commit(positions: readonly Position[]): Promise<void> {
    const owned = positions.filter((position) => this.#positions.has(nameOf(position)));
    if (owned.length === 0) return;
    if (this.#commitOffsets === null) throw new Error('no member of the group at the moment');
    const topics = [...new Set(owned.map(({ topic }) => topic))].map((topic) => ({
      topic,
      partitions: owned
        .filter((position) => position.topic === topic)
        .map(({ partition, offset }) => ({ partition, offset: String(offset) })),
    }));
    await this.#commitOffsets({ topics });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#cancelWatch();
    await this.#rebuilding;
    await this.#disconnect();
  }

  async #build(): Promise<void> {
    const { kafka, group, topics, sessionTimeoutMs, maxWaitMs, maxFetchBytes } = this.#options;
    const consumer = kafka.consumer({
      groupId: group,
      sessionTimeout: sessionTimeoutMs,
      heartbeatInterval: Math.ceil(sessionTimeoutMs / 10),
      rebalanceTimeout: sessionTimeoutMs * 2,
      maxWaitTimeInMs: maxWaitMs,
      maxBytes: maxFetchBytes,
      maxBytesPerPartition: maxFetchBytes,
      allowAutoTopicCreation: false,
    });
    this.#consumer = consumer;
    this.#lastFetchMs = this.#options.clock.nowMs();
    const isCurrent = () => this.#consumer === consumer;
    consumer.on('consumer.group_join', (event) => void (isCurrent() && this.#onJoin(consumer, event)));
    consumer.on('consumer.fetch', () => {
      if (isCurrent()) this.#lastFetchMs = this.#options.clock.nowMs();
    });
    consumer.on('consumer.crash', ({ payload }) => void (isCurrent() && this.#onCrash(payload.error, payload.restart)));
    await consumer.connect();
    // From the beginning where the group has no position: what was sent before the first join is not lost.
    await consumer.subscribe({ topics: [...topics], fromBeginning: true });
    await consumer.run({ autoCommit: false, eachBatch: async (payload) => this.#onBatch(payload) });
  }

  #onJoin(consumer: Consumer, { payload }: ConsumerGroupJoinEvent): void {
    const assigned = Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) =>
      partitions.map((partition) => ({ topic, partition })),
    );
    if (this.#options.only === undefined) this.#revokeAllBut(payload.memberId === this.#memberId ? assigned : []);
    this.#memberId = payload.memberId;
    this.#lastFetchMs = this.#options.clock.nowMs();
    for (const { topic, partition, offset } of this.#positions.values()) {
      consumer.seek({ topic, partition, offset: String(offset) });
    }
    this.#pauseUnwanted(consumer, assigned);
    this.#applyPause();
    this.#joined.resolve();
  }

  #revokeAllBut(kept: readonly TopicPartition[]): void {
    const names = new Set(kept.map(nameOf));
    const revoked = [...this.#positions.values()].filter((position) => !names.has(nameOf(position)));
    for (const position of revoked) this.#positions.delete(nameOf(position));
    if (revoked.length > 0) this.#options.onRevoked(revoked);
  }

  #pauseUnwanted(consumer: Consumer, assigned: readonly TopicPartition[]): void {
    if (this.#options.only === undefined) return;
    const unwanted = assigned.filter((partition) => !this.#positions.has(nameOf(partition)));
    for (const { topic, partition } of unwanted) consumer.pause([{ topic, partitions: [partition] }]);
  }

  #applyPause(): void {
    // Before the group has taken this member in there is nothing to pause; `#onJoin` does it then.
    if (this.#paused && this.#memberId !== '') this.#consumer?.pause(this.#fetched());
  }

  #fetched(): { topic: string; partitions?: number[] }[] {
    const { only, topics } = this.#options;
    return (
      only?.map(({ topic, partition }) => ({ topic, partitions: [partition] })) ?? topics.map((topic) => ({ topic }))
    );
  }

  #onBatch({ batch, isStale, commitOffsetsIfNecessary }: EachBatchPayload): void {
    if (isStale() || this.#closing.signal.aborted) return;
    this.#commitOffsets = commitOffsetsIfNecessary;
    const { topic, partition } = batch;
    const offset = BigInt(batch.lastOffset()) + 1n;
    this.#positions.set(nameOf({ topic, partition }), { topic, partition, offset });
    this.#options.onRecords(batch.messages.map((message) => toRecord(topic, partition, message)));
  }

  #onCrash(error: Error, restarts: boolean): void {
    this.#options.logger.warn({ error, restarts, group: this.#options.group }, 'consumer crashed');
    this.#commitOffsets = null;
    // Whether kafkajs starts it again or we do: it will be a new member.
    if (this.#options.only === undefined) this.#revokeAllBut([]);
    if (!restarts) this.#rebuild();
  }

  #rebuild(): void {
    if (this.#closing.signal.aborted || this.#rebuilding !== null) return;
    this.#rebuilding = this.#buildUntilItStands().finally(() => {
      this.#rebuilding = null;
    });
  }

  async #buildUntilItStands(): Promise<void> {
    const { clock, logger } = this.#options;
    for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)) {
      await this.#disconnect();
      await delay(clock, backoffMs, this.#closing.signal).catch(() => {});
      if (this.#closing.signal.aborted) return;
      try {
        return await this.#build();
      } catch (error) {
        logger.warn({ error }, 'consumer not rebuilt; it is tried again');
      }
    }
  }

  /** kafkajs can stop fetching without a word. Three sessions without a fetch, and it is built anew. */
  #watch(): void {
    const { clock, sessionTimeoutMs } = this.#options;
    this.#cancelWatch = clock.setTimer(() => {
      if (clock.nowMs() - this.#lastFetchMs > 3 * sessionTimeoutMs) this.#onCrash(new Error('no fetch'), false);
      this.#watch();
    }, sessionTimeoutMs);
  }

  async #disconnect(): Promise<void> {
    const consumer = this.#consumer;
    this.#consumer = null;
    this.#memberId = '';
    this.#commitOffsets = null;
    await consumer?.disconnect().catch((error) => this.#options.logger.debug({ error }, 'disconnect failed'));
  }
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

function toRecord(topic: string, partition: number, message: KafkaMessage): IncomingRecord {
  return {
    topic,
    partition,
    offset: BigInt(message.offset),
    timestampMs: Number(message.timestamp),
    key: message.key,
    value: message.value,
    headers: Object.entries(message.headers ?? {}).flatMap(([name, value]) =>
      [value ?? []].flat().map((one): [string, Uint8Array] => [name, Buffer.from(one as Buffer)]),
    ),
  };
}
