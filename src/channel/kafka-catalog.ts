// A CommonJS module: Node sees this export only on the whole of it.
import kafkajs from 'kafkajs';
import type { Clock } from '../runtime/clock.ts';
import type { RenewedAdmin } from './kafka-admin.ts';
import { isTopicNotAuthorized, isUnknownTopic } from './kafka-errors.ts';

/** Kafka's default of `max.message.bytes`. */
const DEFAULT_MAX_MESSAGE_BYTES = 1_048_588;
/** Partitions may be added to a topic while we run: so long keyed records may go on to the old ones only. */
const REFRESH_MS = 60_000;
/** How often a topic in use that is refused is asked about where nobody else asks: somebody may create it, or let us. */
const LOOK_AGAIN_MS = 10_000;
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

/** Why the brokers refuse a topic. */
type RefusalProblem = 'unknown_topic' | 'not_authorized';

/** Monotonic times of the first and the last of the answers that refused a topic without a long silence between them. */
interface Refusal {
  readonly sinceMs: number;
  readonly lastMs: number;
  readonly problem: RefusalProblem;
}

/** A topic in use that no answer has found since one refused it, and a sentence that says so. */
export interface RefusedTopic {
  readonly topic: string;
  readonly message: string;
}

/** The brokers answered that there is no such topic, or that we may not see it. */
export class TopicRefusedError extends Error {
  override readonly name = 'TopicRefusedError';
  readonly problem: RefusalProblem;
  /** How long every answer has said so, in ms, with no long silence between two of them. */
  readonly forMs: number;
  constructor(problem: RefusalProblem, message: string, forMs: number, cause: unknown) {
    super(message, { cause });
    this.problem = problem;
    this.forMs = forMs;
  }
}

/**
 * What is known of topics: how many partitions, how large a record may be. Asked of the brokers once and then again from
 * time to time; questions about one topic that come together share one request. Of topics in use it knows which are
 * refused until an answer finds them, also while nobody publishes to them.
 */
export class TopicCatalog {
  readonly #admin: Pick<RenewedAdmin, 'ask'>;
  readonly #clock: Clock;
  readonly #facts = new Map<string, TopicFacts>();
  readonly #maxMessageBytes = new Map<string, number>();
  readonly #lookUps = new Map<string, Promise<TopicFacts>>();
  /** Topics that every answer has refused. */
  readonly #refusals = new Map<string, Refusal>();
  #inUse: ReadonlySet<string> = new Set();
  #cancelRefresh: (() => void) | null = null;
  /** Null while no topic in use is refused: then nothing wakes for it. */
  #cancelLookAgain: (() => void) | null = null;
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

  /** Whose refusals are told of, and asked about until they end. Topics of another version's commands are none of these. */
  useTopics(topics: readonly string[]): void {
    this.#inUse = new Set(topics);
    this.#scheduleLookAgain();
  }

  /** At most the topics in use; empty while all is well. */
  refused(): readonly RefusedTopic[] {
    return [...this.#refusals]
      .filter(([topic]) => this.#inUse.has(topic))
      .map(([topic, { problem }]) => ({ topic, message: describeRefusal(problem, topic) }));
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
    this.#cancelLookAgain?.();
  }

  async #ask(topic: string): Promise<TopicFacts> {
    const askedMs = this.#clock.monotonicMs();
    try {
      return await this.#fetch(topic);
    } catch (error) {
      throw this.#refusalOf(topic, error, askedMs) ?? error;
    }
  }

  /** Throws what kafkajs throws; keeps what was found, and forgets that it was refused. */
  async #fetch(topic: string): Promise<TopicFacts> {
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
  }

  #refusalOf(topic: string, error: unknown, askedMs: number): TopicRefusedError | null {
    const problem = refusalProblemOf(error);
    if (problem === null) return null;
    this.#facts.delete(topic);
    const nowMs = this.#clock.monotonicMs();
    const before = this.#refusals.get(topic);
    const goesOn = before !== undefined && askedMs - before.lastMs <= FORGET_REFUSAL_MS;
    const sinceMs = goesOn ? before.sinceMs : nowMs;
    this.#refusals.set(topic, { sinceMs, lastMs: nowMs, problem });
    this.#scheduleLookAgain();
    return new TopicRefusedError(problem, describeRefusal(problem, topic), nowMs - sinceMs, error);
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

  #scheduleLookAgain(): void {
    if (this.#isClosed || this.#cancelLookAgain !== null || this.refused().length === 0) return;
    this.#cancelLookAgain = this.#clock.setTimer(async () => {
      for (const { topic } of this.refused()) {
        if (this.#isClosed) return;
        await this.#lookAgain(topic);
      }
      this.#cancelLookAgain = null;
      this.#scheduleLookAgain();
    }, LOOK_AGAIN_MS);
  }

  /**
   * Can end a refusal and never lengthens it: a few answers far apart, which no record asked for, are no proof that a topic
   * was gone all the time between, and a command is failed for good on `forMs`.
   */
  async #lookAgain(topic: string): Promise<void> {
    const before = this.#refusals.get(topic);
    if (before === undefined || this.#lookUps.has(topic)) return;
    try {
      await this.#fetch(topic);
    } catch (error) {
      const problem = refusalProblemOf(error);
      // A question of a record's may have been answered meanwhile: that one stands.
      if (problem !== null && this.#refusals.get(topic) === before) this.#refusals.set(topic, { ...before, problem });
    }
  }
}

/** Null where the brokers have not refused the topic: they could not be asked. */
function refusalProblemOf(error: unknown): RefusalProblem | null {
  if (isUnknownTopic(error)) return 'unknown_topic';
  return isTopicNotAuthorized(error) ? 'not_authorized' : null;
}

function describeRefusal(problem: RefusalProblem, topic: string): string {
  return problem === 'unknown_topic' ? `there is no topic ${topic}` : `this gateway may not use topic ${topic}`;
}
