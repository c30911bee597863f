// A CommonJS module: Node sees this export only on the whole of it.
import kafkajs from 'kafkajs';
import type { Clock } from '../runtime/clock.ts';
import type { RenewedAdmin } from './kafka-admin.ts';
import { isTopicNotAuthorized, isUnknownTopic } from './kafka-errors.ts';

/** Kafka's default of `max.message.bytes`. */
const DEFAULT_MAX_MESSAGE_BYTES = 1_048_588;
/** Partitions may be added to a topic while we run: so long keyed records may go on to the old ones only. */
const REFRESH_MS = 60_000;
/**
 * A refusal that is not asked about again for this long is forgotten: what was refused an hour ago and is refused now may
 * have been there all the time between. Above the longest pause between two tries of a recorded command.
 */
const FORGET_REFUSAL_MS = 10_000;

export interface TopicFacts {
  readonly partitionCount: number;
  readonly brokerCount: number;
  readonly replicas: number;
}

/** Monotonic times of the first and the last of the answers that refused a topic without a long silence between them. */
interface Refusal {
  readonly sinceMs: number;
  readonly lastMs: number;
}

/** The brokers answered that there is no such topic, or that we may not see it. */
export class TopicRefusedError extends Error {
  override readonly name = 'TopicRefusedError';
  readonly problem: 'unknown_topic' | 'not_authorized';
  /** How long every answer has said so, in ms, with no long silence between two of them. */
  readonly forMs: number;
  constructor(problem: 'unknown_topic' | 'not_authorized', message: string, forMs: number, cause: unknown) {
    super(message, { cause });
    this.problem = problem;
    this.forMs = forMs;
  }
}

/**
 * What is known of topics: how many partitions, how large a record may be. Asked of the brokers once and then again from
 * time to time; questions about one topic that come together share one request.
 */
export class TopicCatalog {
  readonly #admin: Pick<RenewedAdmin, 'ask'>;
  readonly #clock: Clock;
  readonly #facts = new Map<string, TopicFacts>();
  readonly #maxMessageBytes = new Map<string, number>();
  readonly #lookUps = new Map<string, Promise<TopicFacts>>();
  /** Topics that every answer has refused. */
  readonly #refusals = new Map<string, Refusal>();
  #cancelRefresh: (() => void) | null = null;
  #isClosed = false;

  constructor(admin: Pick<RenewedAdmin, 'ask'>, clock: Clock) {
    this.#admin = admin;
    this.#clock = clock;
    this.#scheduleRefresh();
  }

  /** Null where nothing is known yet. */
  known(topic: string): TopicFacts | null {
    return this.#facts.get(topic) ?? null;
  }

  maxMessageBytes(topic: string): number {
    return this.#maxMessageBytes.get(topic) ?? DEFAULT_MAX_MESSAGE_BYTES;
  }

  /** Asks the brokers. Throws `TopicRefusedError`, or what kafkajs throws where they cannot be asked. */
  lookUp(topic: string): Promise<TopicFacts> {
    const running = this.#lookUps.get(topic);
    if (running) return running;
    const started = this.#ask(topic).finally(() => this.#lookUps.delete(topic));
    this.#lookUps.set(topic, started);
    return started;
  }

  /** Whether the brokers know every one of them and let us see it. Throws where they cannot be asked. */
  async areThere(topics: readonly string[]): Promise<boolean> {
    try {
      await this.#admin.ask((admin) => admin.fetchTopicMetadata({ topics: [...topics] }));
      return true;
    } catch (error) {
      if (isUnknownTopic(error) || isTopicNotAuthorized(error)) return false;
      throw error;
    }
  }

  /**
   * The settings of a topic by name; empty where we may not see them. Learns `max.message.bytes` on the way.
   * Throws what kafkajs throws where the brokers cannot be asked.
   */
  async readSettings(topic: string): Promise<ReadonlyMap<string, string>> {
    const resources = [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic }];
    const answer = await this.#admin
      .ask((admin) => admin.describeConfigs({ resources, includeSynonyms: false }))
      .catch((error) => {
        if (isTopicNotAuthorized(error)) return { resources: [] };
        throw error;
      });
    const entries = answer.resources[0]?.configEntries ?? [];
    const settings = new Map(entries.map(({ configName, configValue }) => [configName, configValue]));
    const maxMessageBytes = Number(settings.get('max.message.bytes'));
    if (maxMessageBytes > 0) this.#maxMessageBytes.set(topic, maxMessageBytes);
    return settings;
  }

  /** Stops asking; the admin client is its owner's to close. */
  close(): void {
    this.#isClosed = true;
    this.#cancelRefresh?.();
  }

  async #ask(topic: string): Promise<TopicFacts> {
    const askedMs = this.#clock.monotonicMs();
    try {
      const { topics } = await this.#admin.ask((admin) => admin.fetchTopicMetadata({ topics: [topic] }));
      const partitions = topics.find((each) => each.name === topic)?.partitions ?? [];
      if (partitions.length === 0) throw new Error(`no metadata of topic ${topic} came back`);
      const facts = {
        partitionCount: partitions.length,
        brokerCount: new Set(partitions.flatMap((each) => each.replicas)).size,
        replicas: Math.min(...partitions.map((each) => each.replicas.length)),
      };
      this.#facts.set(topic, facts);
      this.#refusals.delete(topic);
      return facts;
    } catch (error) {
      throw this.#refusalOf(topic, error, askedMs) ?? error;
    }
  }

  #refusalOf(topic: string, error: unknown, askedMs: number): TopicRefusedError | null {
    if (!isUnknownTopic(error) && !isTopicNotAuthorized(error)) return null;
    this.#facts.delete(topic);
    const nowMs = this.#clock.monotonicMs();
    const before = this.#refusals.get(topic);
    const goesOn = before !== undefined && askedMs - before.lastMs <= FORGET_REFUSAL_MS;
    const sinceMs = goesOn ? before.sinceMs : nowMs;
    this.#refusals.set(topic, { sinceMs, lastMs: nowMs });
    const [problem, message] = isUnknownTopic(error)
      ? (['unknown_topic', `there is no topic ${topic}`] as const)
      : (['not_authorized', `this gateway may not use topic ${topic}`] as const);
    return new TopicRefusedError(problem, message, nowMs - sinceMs, error);
  }

  #scheduleRefresh(): void {
    this.#cancelRefresh = this.#clock.setTimer(async () => {
      for (const topic of [...this.#facts.keys()]) {
        if (this.#isClosed) return;
        // What was known stays good enough; a publish that fails asks again.
        await this.lookUp(topic).catch(() => undefined);
      }
      if (!this.#isClosed) this.#scheduleRefresh();
    }, REFRESH_MS);
  }
}
