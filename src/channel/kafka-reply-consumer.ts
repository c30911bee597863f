import type { Consumer, EachBatchPayload, PartitionAssigner } from 'kafkajs';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import { disconnectWithin } from './kafka-admin.ts';
import type { KafkaClient } from './kafka-client.ts';
import type { KafkaChannelConfig } from './kafka-config.ts';
import { describeKafkaError, isConnectionTrouble } from './kafka-errors.ts';

/** How the consumer asks for positions and gives what it reads. Called synchronously. */
export interface ReplyConsumerHandler {
  /** Where to read a partition; null where it is not to be read. */
  positionOf(partition: number): bigint | null;
  onBatch(payload: EachBatchPayload): void;
  /** A batch without one record to show. */
  onEmptied(partition: number, firstOffset: bigint, lastOffset: bigint): void;
}

/** No other consumer may be in it. */
export interface ReplyGroup {
  readonly groupId: string;
  readonly assigner: PartitionAssigner;
}

export interface ReplyConsumerDeps {
  /** A client of its own for each build, so that a consumer that hangs can be cut off. */
  readonly createClient: () => KafkaClient;
  readonly handler: ReplyConsumerHandler;
  /** Whether the brokers answer a simple question. Bounded; never rejects. */
  readonly isReachable: () => Promise<boolean>;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Problem {
  readonly text: string;
  readonly isOutage: boolean;
  /** The consumer's own error said so; else whether it is an outage was found out by asking, and may change. */
  readonly isCertain: boolean;
}

const FIRST_REBUILD_MS = 250;
const MAX_REBUILD_MS = 2000;
/** A consumer that does not leave in this time is cut off. */
const LEAVE_MS = 3000;
/** Sessions without a fetch, after which the consumer is given up. */
const DEAD_SESSIONS = 3;
/** How often kafkajs looks for partitions that were added; default 5 minutes. It joins anew then, at our positions. */
const METADATA_MAX_AGE_MS = 10_000;
/** Sessions in which the brokers answer and the consumer does not join, after which it is no outage any more. */
const GRACE_SESSIONS = 3;

const NOT_JOINED = 'the reply consumer has not joined yet';
const NO_ANSWER = 'Kafka does not answer';

/**
 * One kafkajs consumer in a group of its own, kept alive: it is built again, with pauses that grow, when it crashes (kafkajs
 * restarts it after some errors and after others never), and when it has not fetched for three session timeouts.
 *
 * Always `fromBeginning`, with a seek: from the end, an offset out of range would jump past replies that are still kept,
 * and a first join would lose what is sent while it lasts. Offsets are never committed: `autoCommit` would do it over the
 * network after every batch and hold the next one back.
 */
export class ReplyConsumer {
  readonly #config: KafkaChannelConfig;
  readonly #group: ReplyGroup;
  readonly #deps: ReplyConsumerDeps;
  /** The one that is in use; events of an earlier one are not ours any more. */
  #current: { readonly consumer: Consumer; readonly client: KafkaClient } | null = null;
  #assigned: readonly number[] = [];
  #isJoined = false;
  #isStopped = true;
  #problem: Problem | null = null;
  #rebuildMs = FIRST_REBUILD_MS;
  #lastFetchMs = 0;
  #reachableSessions = 0;
  #cancelTimer: (() => void) | null = null;
  #cancelWatch: (() => void) | null = null;
  readonly #leaving = new Set<Promise<void>>();

  constructor(config: KafkaChannelConfig, group: ReplyGroup, deps: ReplyConsumerDeps) {
    this.#config = config;
    this.#group = group;
    this.#deps = deps;
  }

  start(): void {
    this.#isStopped = false;
    this.#watch();
    void this.#build();
  }

  trouble(): string | null {
    if (this.#isJoined || this.#problem?.isOutage) return null;
    return this.#problem?.text ?? (this.#isStopped ? 'replies are not read' : NOT_JOINED);
  }

  outage(): string | null {
    return this.#isJoined || !this.#problem?.isOutage ? null : this.#problem.text;
  }

  /** Fetches the partition from here on. Nothing to do before the join: positions are asked for then. */
  open(partition: number, fromOffset: bigint): void {
    if (!this.#isJoined || !this.#current || !this.#assigned.includes(partition)) return;
    const topic = this.#config.replyTopic;
    this.#current.consumer.seek({ topic, partition, offset: String(fromOffset) });
    this.#current.consumer.resume([{ topic, partitions: [partition] }]);
  }

  shut(partition: number): void {
    if (this.#isJoined) this.#current?.consumer.pause([{ topic: this.#config.replyTopic, partitions: [partition] }]);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer?.();
    this.#cancelWatch?.();
    this.#discard();
    await Promise.all(this.#leaving);
  }

  async #build(): Promise<void> {
    const client = this.#deps.createClient();
    const consumer = client.kafka.consumer({
      groupId: this.#group.groupId,
      partitionAssigners: [this.#group.assigner],
      sessionTimeout: this.#config.sessionTimeoutMs,
      heartbeatInterval: Math.floor(this.#config.sessionTimeoutMs / 4),
      maxWaitTimeInMs: this.#config.fetchMaxWaitMs,
      maxBytes: this.#config.fetchMaxBytes,
      maxBytesPerPartition: Math.min(1_048_576, this.#config.fetchMaxBytes),
      metadataMaxAge: METADATA_MAX_AGE_MS,
      allowAutoTopicCreation: false,
      retry: { retries: 5, initialRetryTime: 100, maxRetryTime: 1000, restartOnFailure: async () => false },
    });
    this.#current = { consumer, client };
    this.#lastFetchMs = this.#deps.clock.monotonicMs();
    this.#listen(consumer);
    // Given up meanwhile: its client is closed, and a join would only be an effort without end.
    const isCurrent = () => this.#current?.consumer === consumer;
    try {
      await consumer.connect();
      if (!isCurrent()) return;
      await consumer.subscribe({ topics: [this.#config.replyTopic], fromBeginning: true });
      if (!isCurrent()) return;
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 1, // Handling a batch waits for nothing.
        eachBatch: async (payload) => this.#deps.handler.onBatch(payload),
      });
      if (!isCurrent()) await consumer.disconnect();
    } catch (error) {
      this.#rebuild(consumer, error);
    }
  }

  #listen(consumer: Consumer): void {
    const { GROUP_JOIN, FETCH, CRASH, END_BATCH_PROCESS } = consumer.events;
    const isCurrent = () => this.#current?.consumer === consumer;
    consumer.on(GROUP_JOIN, ({ payload }) => {
      if (isCurrent()) this.#takePlace(consumer, payload.memberAssignment[this.#config.replyTopic] ?? []);
    });
    consumer.on(FETCH, () => {
      if (isCurrent()) this.#lastFetchMs = this.#deps.clock.monotonicMs();
    });
    consumer.on(CRASH, ({ payload }) => this.#rebuild(consumer, payload.error));
    consumer.on(END_BATCH_PROCESS, ({ payload }) => {
      const { partition, batchSize, firstOffset, lastOffset } = payload;
      if (!isCurrent() || batchSize > 0 || firstOffset === null) return;
      this.#deps.handler.onEmptied(partition, BigInt(firstOffset), BigInt(lastOffset));
    });
  }

  /** Runs inside kafkajs's join, before its first fetch: it has forgotten where we were. */
  #takePlace(consumer: Consumer, partitions: readonly number[]): void {
    const topic = this.#config.replyTopic;
    const open: number[] = [];
    for (const partition of partitions) {
      const position = this.#deps.handler.positionOf(partition);
      if (position === null) continue;
      consumer.seek({ topic, partition, offset: String(position) });
      open.push(partition);
    }
    consumer.pause([{ topic, partitions: partitions.filter((partition) => !open.includes(partition)) }]);
    consumer.resume([{ topic, partitions: open }]);
    if (!this.#isJoined || partitions.length !== this.#assigned.length)
      this.#deps.logger.info({ topic, partitions: partitions.length }, 'replies are being read');
    this.#assigned = partitions;
    this.#isJoined = true;
    this.#problem = null;
    this.#rebuildMs = FIRST_REBUILD_MS;
    this.#lastFetchMs = this.#deps.clock.monotonicMs();
  }

  #rebuild(consumer: Consumer, error: unknown, wasReachable = true): void {
    if (this.#current?.consumer !== consumer || this.#isStopped) return;
    const text = `the reply consumer is being rebuilt: ${describeKafkaError(error)}`;
    if (this.#isJoined || this.#problem?.text !== text)
      this.#deps.logger.warn({ topic: this.#config.replyTopic }, text);
    const isCertain = isConnectionTrouble(error);
    const isOutage = isCertain || !wasReachable || (this.#problem?.isOutage ?? false);
    this.#problem = { text, isOutage, isCertain };
    this.#discard();
    this.#cancelTimer = this.#deps.clock.setTimer(() => void this.#build(), this.#rebuildMs);
    this.#rebuildMs = Math.min(this.#rebuildMs * 2, MAX_REBUILD_MS);
    if (!isOutage) void this.#lookAfter();
  }

  #discard(): void {
    const current = this.#current;
    this.#current = null;
    this.#isJoined = false;
    if (current === null) return;
    const { consumer, client } = current;
    const left = disconnectWithin(LEAVE_MS, this.#deps.clock, consumer, client).finally(() =>
      this.#leaving.delete(left),
    );
    this.#leaving.add(left);
  }

  #watch(): void {
    this.#cancelWatch = this.#deps.clock.setTimer(() => {
      void this.#lookAfter();
      this.#watch();
    }, this.#config.sessionTimeoutMs);
  }

  /** Silence may be this consumer's fault or the brokers': a hung one keeps connections open and answers nothing. */
  async #lookAfter(): Promise<void> {
    const silentMs = DEAD_SESSIONS * this.#config.sessionTimeoutMs;
    const current = this.#current;
    const isSilent = current !== null && this.#deps.clock.monotonicMs() - this.#lastFetchMs >= silentMs;
    if (this.#isJoined && !isSilent) return;
    const isReachable = await this.#deps.isReachable();
    if (this.#isStopped) return;
    this.#reachableSessions = isReachable ? this.#reachableSessions + 1 : 0;
    if (isSilent) this.#rebuild(current.consumer, new Error(`no fetch for ${silentMs} ms`), isReachable);
    else if (!this.#isJoined) this.#blame(isReachable);
  }

  /** After an outage the brokers answer before the group can be joined: that is not held against the instance at once. */
  #blame(isReachable: boolean): void {
    const isGrace = isReachable && this.#problem?.isOutage && this.#reachableSessions < GRACE_SESSIONS;
    if (this.#problem?.isCertain || isGrace) return;
    const known = this.#problem?.text ?? NO_ANSWER;
    const text = isReachable && known === NO_ANSWER ? NOT_JOINED : known;
    this.#problem = { text, isOutage: !isReachable, isCertain: false };
  }
}
