import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { type Channel, ChannelSetupError } from './channel.ts';
import { RenewedAdmin } from './kafka-admin.ts';
import { TopicCatalog, TopicRefusedError } from './kafka-catalog.ts';
import { createKafkaClient } from './kafka-client.ts';
import { registerCodecs } from './kafka-codecs.ts';
import type { KafkaChannelConfig } from './kafka-config.ts';
import { describeKafkaError } from './kafka-errors.ts';
import { RenewedProducer } from './kafka-producer.ts';
import { KafkaWorkerProgress } from './kafka-progress.ts';
import { KafkaPublisher } from './kafka-publisher.ts';
import { KafkaReplySource } from './kafka-replies.ts';
import { describeRefusedTopics, prepareOwnTopics, prepareTopics } from './kafka-topics.ts';
import { listOwnTopics } from './own-topics.ts';

export type { KafkaChannelConfig } from './kafka-config.ts';

export interface KafkaChannelDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 5000;
/** How long `ensureTopics` waits for Kafka before it goes on in the background. */
const ENSURE_WAIT_MS = 3000;
const STOP_GRACE_MS = 5000;
/** What a question may take beyond its requests: connecting, topics being made. */
const SETUP_MS = 20_000;
/** How often a topic of ours that is missing is looked for. */
const LOOK_FOR_TOPICS_MS = 10_000;
/** An answer to the simplest question takes no longer where the brokers are well. */
const PROBE_MS = 3000;

/**
 * The channel on Kafka. Returns at once and needs no broker to be up: whatever fails for want of one is repeated in the
 * background, and `degraded` says so.
 */
export async function createKafkaChannel(config: KafkaChannelConfig, deps: KafkaChannelDeps): Promise<Channel> {
  return new KafkaChannel(config, deps);
}

class KafkaChannel implements Channel {
  readonly publisher: KafkaPublisher;
  readonly sender: KafkaPublisher;
  readonly workers: KafkaWorkerProgress;
  readonly replies: KafkaReplySource;
  readonly #config: KafkaChannelConfig;
  readonly #deps: KafkaChannelDeps;
  readonly #admin: RenewedAdmin;
  readonly #offsetsAdmin: RenewedAdmin;
  readonly #producer: RenewedProducer;
  readonly #catalog: TopicCatalog;
  #setupProblem: string | null = null;
  /** Of topics of ours without which the channel works, but for what they carry. */
  #topicProblem: string | null = null;
  #cancelRetry: (() => void) | null = null;
  #isStopped = false;

  constructor(config: KafkaChannelConfig, deps: KafkaChannelDeps) {
    registerCodecs();
    this.#config = config;
    this.#deps = deps;
    const { clock, logger } = deps;
    const { requestTimeoutMs } = config;
    // Enough tries to go through the brokers once; a failed send is repeated by us.
    const retry = { retries: config.brokers.length, initialRetryTime: 50, maxRetryTime: 200, multiplier: 1 };
    const createClient = () => createKafkaClient(config, logger, retry);
    const limitMs = 2 * requestTimeoutMs + SETUP_MS;
    this.#admin = new RenewedAdmin({ createClient, clock, limitMs });
    this.#offsetsAdmin = new RenewedAdmin({ createClient, clock, limitMs });
    this.#catalog = new TopicCatalog(this.#admin, clock);
    const areTopicsThere = (topics: readonly string[]) => this.#catalog.areThere(topics);
    this.#producer = new RenewedProducer({ createClient, areTopicsThere, requestTimeoutMs, clock, logger });
    const parts = { ...deps, admin: this.#admin, catalog: this.#catalog };
    this.publisher = new KafkaPublisher(config.publish, { ...parts, producer: this.#producer, requestTimeoutMs });
    this.sender = this.publisher;
    this.workers = new KafkaWorkerProgress({ ...parts, timeoutMs: requestTimeoutMs });
    this.replies = new KafkaReplySource(config, {
      ...parts,
      admin: this.#offsetsAdmin,
      createClient: () => createKafkaClient(config, logger, { ...retry, retries: 5 }),
      isReachable: () => this.#isReachable(),
    });
  }

  async ensureTopics(commandTopics: readonly string[]): Promise<void> {
    this.#setupProblem = 'the topics have not been checked yet';
    this.#catalog.useTopics([...commandTopics, this.#config.replyTopic, ...this.#ownTopics()]);
    const firstTry = this.#tryToPrepare(commandTopics, FIRST_RETRY_MS);
    const outcome = await this.#waitAtMost(ENSURE_WAIT_MS, firstTry);
    if (outcome instanceof ChannelSetupError) throw outcome;
  }

  degraded(): string | null {
    return this.#setupProblem ?? this.replies.outage() ?? this.publisher.trouble() ?? this.#topicTrouble();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelRetry?.();
    await Promise.all([this.replies.stop(), this.publisher.stop(STOP_GRACE_MS)]);
    this.#catalog.close();
    await Promise.all([this.#producer.close(), this.#admin.close(), this.#offsetsAdmin.close()]);
  }

  /** A topic of ours of which `#topicProblem` says how to make it is not told of twice. */
  #topicTrouble(): string | null {
    const told = this.#topicProblem === null ? [] : this.#ownTopics();
    const untold = this.#catalog.refused().filter(({ topic }) => !told.includes(topic));
    const problems = [this.#topicProblem, describeRefusedTopics(untold, this.#config)].filter((each) => each !== null);
    return problems.length === 0 ? null : problems.join('; ');
  }

  #ownTopics(): readonly string[] {
    return listOwnTopics(this.#config).map(({ topic }) => topic);
  }

  /** Never rejects; tries again in the background, with pauses that grow, and resolves with why this try failed. */
  async #tryToPrepare(commandTopics: readonly string[], retryMs: number): Promise<unknown> {
    try {
      await this.#producer.connect();
      await prepareTopics(this.#config, commandTopics, { ...this.#deps, admin: this.#admin, catalog: this.#catalog });
      await this.#prepareOwnTopics();
      if (retryMs > FIRST_RETRY_MS)
        this.#deps.logger.info({}, 'Kafka is reachable, and the topics are as they must be');
      this.#setupProblem = null;
      return null;
    } catch (error) {
      if (this.#isStopped) return null;
      this.#noteSetupProblem(error);
      const nextMs = Math.min(retryMs * 2, MAX_RETRY_MS);
      this.#cancelRetry = this.#deps.clock.setTimer(() => void this.#tryToPrepare(commandTopics, nextMs), retryMs);
      return error;
    }
  }

  #noteSetupProblem(error: unknown): void {
    const text = describeKafkaError(error);
    const problem = error instanceof ChannelSetupError ? text : `Kafka cannot be reached: ${text}`;
    if (problem !== this.#setupProblem) this.#deps.logger.warn({ problem }, 'the channel is not ready; trying on');
    this.#setupProblem = problem;
  }

  /** Looks again while one is missing: somebody may create it, or let us. Throws where the brokers cannot be asked. */
  async #prepareOwnTopics(): Promise<void> {
    const problems = await prepareOwnTopics(this.#config, {
      ...this.#deps,
      admin: this.#admin,
      catalog: this.#catalog,
    });
    const problem = problems.length === 0 ? null : problems.join('; ');
    if (problem !== null && problem !== this.#topicProblem) this.#deps.logger.warn({}, problem);
    if (problem === null && this.#topicProblem !== null) this.#deps.logger.info({}, 'every topic of ours is there');
    this.#topicProblem = problem;
    if (problem === null || this.#isStopped) return;
    this.#cancelRetry = this.#deps.clock.setTimer(() => void this.#lookForOwnTopics(), LOOK_FOR_TOPICS_MS);
  }

  async #lookForOwnTopics(): Promise<void> {
    try {
      await this.#prepareOwnTopics();
    } catch {
      if (this.#isStopped) return;
      this.#cancelRetry = this.#deps.clock.setTimer(() => void this.#lookForOwnTopics(), LOOK_FOR_TOPICS_MS);
    }
  }

  async #isReachable(): Promise<boolean> {
    // A refusal is an answer.
    const asked = this.#catalog.lookUp(this.#config.replyTopic).then(
      () => true,
      (error) => error instanceof TopicRefusedError,
    );
    return (await this.#waitAtMost(PROBE_MS, asked)) === true;
  }

  async #waitAtMost(limitMs: number, promise: Promise<unknown>): Promise<unknown> {
    let stopWaiting = () => {};
    const longEnough = new Promise<void>((resolve) => {
      stopWaiting = this.#deps.clock.setTimer(resolve, limitMs);
    });
    const outcome = await Promise.race([promise, longEnough]);
    stopWaiting();
    return outcome;
  }
}
