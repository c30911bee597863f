import type { Consumer, ConsumerGroupJoinEvent, EachBatchPayload, Kafka } from 'kafkajs';
import { type Clock, delay } from './clock.ts';
import { judgeError } from './kafka-errors.ts';
import { FoundTopics } from './kafka-found-topics.ts';
import { nameOf, toIncoming } from './kafka-incoming.ts';
import { createMember } from './kafka-member.ts';
import { repeatUntilUp } from './kafka-start.ts';
import type { Logger } from './log.ts';
import type { IncomingRecord, Position, Subscription, TopicPartition } from './transport.ts';

export interface KafkaConsumerOptions {
  readonly kafka: Kafka;
  readonly topics: readonly string[];
  readonly group: string;
  readonly onRecords: (records: readonly IncomingRecord[]) => void;
  readonly onRevoked: (partitions: readonly TopicPartition[]) => void;
  /** Where reading begins, whatever the group has committed: the group is this member's own, and so are its positions. */
  readonly from?: readonly Position[];
  /** With `from`: partitions that it does not name are left out; else they are read from their beginning. */
  readonly onlyThose?: boolean;
  readonly sessionTimeoutMs: number;
  readonly maxWaitMs: number;
  readonly maxFetchBytes: number;
  readonly joinTimeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

type CommitOffsets = EachBatchPayload['commitOffsetsIfNecessary'];

const FIRST_BACKOFF_MS = 200;
/** Short, because a broker that is back shall not wait for us. */
const MAX_BACKOFF_MS = 2_000;
/** So long a topic that is there again goes unread. */
const MAX_LOOK_MS = 10_000;
/** Failures in a row. */
const LEFT_OUT_AFTER = 3;
/** kafkajs waits for a fetch that hangs; longer than this we do not. */
const DISCONNECT_MS = 3_000;

/**
 * A member of a consumer group that outlives what kafkajs does not: each crash, and a fetch loop that stands still, ends
 * in a new consumer, which first takes the member that the last one was out of the group, so that nobody waits for it;
 * positions, which a rejoin forgets, are sought again. It reads those of its topics that are there, and looks for the others.
 *
 * Invariant: `#positions` holds the next offset of each partition that this member owns and has read from. A partition
 * is kept over a rejoin only with the same member id: with another one somebody else may have owned it in between.
 */
export class KafkaConsumer implements Subscription {
  readonly #options: KafkaConsumerOptions;
  readonly #found: FoundTopics;
  readonly #positions = new Map<string, Position>();
  readonly #closing = new AbortController();
  #consumer: Consumer | null = null;
  #memberId = '';
  /** The member that the last consumer was; it may still be counted. */
  #ghost = '';
  #problem = '';
  /** Failures since the last join that say that a topic is not there, or that this worker may not see it. */
  #refusals = 0;
  /** Straight to the coordinator: `consumer.commitOffsets` would start a second rejoin when the group rebalances. */
  #commitOffsets: CommitOffsets | null = null;
  #paused = false;
  #joined: PromiseWithResolvers<void> = Promise.withResolvers();
  #rebuilding: Promise<void> | null = null;
  #lastFetchMs = 0;
  #cancelWatch: () => void = () => {};
  #looking: Promise<void> = Promise.resolve();

  constructor(options: KafkaConsumerOptions) {
    this.#options = options;
    this.#found = new FoundTopics(options);
    for (const position of options.from ?? []) this.#positions.set(nameOf(position), position);
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
        await this.#build(this.#found.known);
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
    await this.#looking;
    await this.#rebuilding;
    await this.#disconnect();
  }

  async #build(topics: readonly string[]): Promise<void> {
    const { consumer, leaveFor } = createMember(this.#options);
    this.#consumer = consumer;
    this.#lastFetchMs = this.#options.clock.nowMs();
    this.#listen(consumer);
    await consumer.connect();
    if (this.#ghost !== '') await leaveFor(this.#ghost);
    this.#ghost = '';
    // From the beginning where the group has no position: what was sent before the first join is not lost.
    await consumer.subscribe({ topics: [...topics], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      eachBatch: async (payload) => void (this.#consumer === consumer && this.#onBatch(payload)),
    });
  }

  #listen(consumer: Consumer): void {
    const isCurrent = () => this.#consumer === consumer;
    consumer.on('consumer.group_join', (event) => {
      if (isCurrent()) this.#onJoin(consumer, event);
      // Given up while it joined: kafkajs's own stop does not reach it then.
      else void consumer.disconnect().catch(() => {});
    });
    consumer.on('consumer.fetch', () => {
      if (isCurrent()) this.#lastFetchMs = this.#options.clock.nowMs();
    });
    consumer.on('consumer.crash', ({ payload }) => void (isCurrent() && this.#onCrash(payload.error)));
  }

  #onJoin(consumer: Consumer, { payload }: ConsumerGroupJoinEvent): void {
    const assigned = Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) =>
      partitions.map((partition) => ({ topic, partition })),
    );
    if (!this.#options.from) this.#revokeAllBut(payload.memberId === this.#memberId ? assigned : []);
    this.#memberId = payload.memberId;
    this.#problem = '';
    this.#refusals = 0;
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
    if (!this.#options.onlyThose) return;
    const unwanted = assigned.filter((partition) => !this.#positions.has(nameOf(partition)));
    for (const { topic, partition } of unwanted) consumer.pause([{ topic, partitions: [partition] }]);
  }

  #applyPause(): void {
    // Before the group has taken this member in there is nothing to pause; `#onJoin` does it then.
    if (this.#paused && this.#memberId !== '') this.#consumer?.pause(this.#fetched());
  }

  #fetched(): { topic: string; partitions?: number[] }[] {
    const { from, onlyThose, topics } = this.#options;
    if (!from || !onlyThose) return topics.map((topic) => ({ topic }));
    return from.map(({ topic, partition }) => ({ topic, partitions: [partition] }));
  }

  #onBatch({ batch, isStale, commitOffsetsIfNecessary }: EachBatchPayload): void {
    if (isStale() || this.#closing.signal.aborted) return;
    this.#commitOffsets = commitOffsetsIfNecessary;
    const { topic, partition } = batch;
    const offset = BigInt(batch.lastOffset()) + 1n;
    this.#positions.set(nameOf({ topic, partition }), { topic, partition, offset });
    this.#options.onRecords(batch.messages.map((message) => toIncoming(topic, partition, message)));
  }

  #onCrash(error: Error): void {
    this.#report(error, 'consumer crashed; it is built again');
    this.#giveUp();
  }

  #giveUp(): void {
    if (this.#closing.signal.aborted) return;
    this.#commitOffsets = null;
    // It will be a new member: somebody else may own what this one owned in between.
    if (!this.#options.from) this.#revokeAllBut([]);
    this.#rebuild();
  }

  /** A broker that has just started may not have heard of a topic yet; it is asked more than once before one is left out. */
  #chooseTopics(): Promise<readonly string[]> | readonly string[] {
    return this.#refusals < LEFT_OUT_AFTER ? this.#found.known : this.#found.find();
  }

  /** An outage makes a consumer fail again and again; it is told once. */
  #report(error: Error, what: string): void {
    const { logger, group } = this.#options;
    if (/unknown_topic|not_authorized/.test(judgeError(error))) this.#refusals += 1;
    logger[error.message === this.#problem ? 'debug' : 'warn']({ error, group }, what);
    this.#problem = error.message;
  }

  #rebuild(): void {
    if (this.#closing.signal.aborted || this.#rebuilding !== null) return;
    this.#rebuilding = this.#buildUntilItStands().finally(() => {
      this.#rebuilding = null;
    });
  }

  async #buildUntilItStands(): Promise<void> {
    for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)) {
      await this.#disconnect();
      await delay(this.#options.clock, backoffMs, this.#closing.signal).catch(() => {});
      if (this.#closing.signal.aborted) return;
      try {
        return await this.#build(await this.#chooseTopics());
      } catch (error) {
        this.#report(error as Error, 'consumer not built; it is tried again');
      }
    }
  }

  #watch(): void {
    const { clock, sessionTimeoutMs } = this.#options;
    const look = () => {
      this.#looking = this.#look().finally(() => {
        if (!this.#closing.signal.aborted) this.#watch();
      });
    };
    this.#cancelWatch = clock.setTimer(look, Math.min(sessionTimeoutMs, MAX_LOOK_MS));
  }

  /** kafkajs can stop fetching without a word. Three sessions without a fetch, and it is built anew. */
  async #look(): Promise<void> {
    const { clock, sessionTimeoutMs } = this.#options;
    if (this.#rebuilding !== null) return;
    if (clock.nowMs() - this.#lastFetchMs > 3 * sessionTimeoutMs) this.#onCrash(new Error('no fetch'));
    else if (await this.#found.isOneBack()) this.#giveUp();
  }

  async #disconnect(): Promise<void> {
    const { clock, logger } = this.#options;
    const consumer = this.#consumer;
    this.#consumer = null;
    if (this.#memberId !== '') this.#ghost = this.#memberId;
    this.#memberId = '';
    this.#commitOffsets = null;
    if (consumer === null) return;
    const left = consumer.disconnect().catch((error) => logger.debug({ error }, 'disconnect failed'));
    const patience = new AbortController();
    await Promise.race([left, delay(clock, DISCONNECT_MS, patience.signal).catch(() => {})]);
    patience.abort();
  }
}
