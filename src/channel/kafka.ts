import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { type Channel, ChannelSetupError } from './channel.ts';
import { TopicCatalog } from './kafka-catalog.ts';
import { createKafkaClient } from './kafka-client.ts';
import type { KafkaChannelConfig } from './kafka-config.ts';
import { describeKafkaError } from './kafka-errors.ts';
import { KafkaPublisher } from './kafka-publisher.ts';
import { KafkaReplySource } from './kafka-replies.ts';
import { prepareTopics } from './kafka-topics.ts';

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
const DISCONNECT_MS = 3000;

/**
 * The channel on Kafka. Returns at once and needs no broker to be up: whatever fails for want of one is repeated in the
 * background, and `degraded` says so.
 */
export async function createKafkaChannel(config: KafkaChannelConfig, deps: KafkaChannelDeps): Promise<Channel> {
  return new KafkaChannel(config, deps);
}

class KafkaChannel implements Channel {
  readonly publisher: KafkaPublisher;
  readonly replies: KafkaReplySource;
  readonly #config: KafkaChannelConfig;
  readonly #deps: KafkaChannelDeps;
  readonly #client: ReturnType<typeof createKafkaClient>;
  readonly #admin: ReturnType<ReturnType<typeof createKafkaClient>['kafka']['admin']>;
  readonly #producer: ReturnType<ReturnType<typeof createKafkaClient>['kafka']['producer']>;
  readonly #catalog: TopicCatalog;
  #setupProblem: string | null = null;
  #cancelRetry: (() => void) | null = null;
  #isStopped = false;

  constructor(config: KafkaChannelConfig, deps: KafkaChannelDeps) {
    this.#config = config;
    this.#deps = deps;
    // Enough tries to go through the brokers once; a failed send is repeated by us.
    const retry = { retries: config.brokers.length, initialRetryTime: 50, maxRetryTime: 200, multiplier: 1 };
    this.#client = createKafkaClient(config, deps.logger, retry);
    this.#admin = this.#client.kafka.admin();
    this.#producer = this.#client.kafka.producer({
      allowAutoTopicCreation: false,
      createPartitioner: () => (args) => args.message.partition as number,
      idempotent: false,
      retry: { retries: 0 },
    });
    this.#catalog = new TopicCatalog(this.#admin, deps.clock);
    const { requestTimeoutMs } = config;
    this.publisher = new KafkaPublisher(config.publish, {
      ...deps,
      producer: this.#producer,
      catalog: this.#catalog,
      requestTimeoutMs,
    });
    const createClient = () => createKafkaClient(config, deps.logger, { ...retry, retries: 5 });
    this.replies = new KafkaReplySource(config, { ...deps, createClient, admin: this.#admin, catalog: this.#catalog });
  }

  async ensureTopics(commandTopics: readonly string[]): Promise<void> {
    this.#setupProblem = 'the topics have not been checked yet';
    const firstTry = this.#tryToPrepare(commandTopics, FIRST_RETRY_MS);
    const outcome = await this.#waitAtMost(ENSURE_WAIT_MS, firstTry);
    if (outcome instanceof ChannelSetupError) throw outcome;
  }

  degraded(): string | null {
    return this.#setupProblem ?? this.replies.outage() ?? this.publisher.trouble();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelRetry?.();
    await Promise.all([this.replies.stop(), this.publisher.stop(STOP_GRACE_MS)]);
    this.#catalog.close();
    await this.#disconnect();
  }

  /** Never rejects; tries again in the background, with pauses that grow, and resolves with why this try failed. */
  async #tryToPrepare(commandTopics: readonly string[], retryMs: number): Promise<unknown> {
    try {
      await this.publisher.connect();
      await prepareTopics(this.#config, commandTopics, { ...this.#deps, admin: this.#admin, catalog: this.#catalog });
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

  /** Bounded: kafkajs waits for answers that a broken broker never gives. */
  async #disconnect(): Promise<void> {
    await this.#waitAtMost(DISCONNECT_MS, Promise.allSettled([this.#producer.disconnect(), this.#admin.disconnect()]));
    this.#client.close();
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
