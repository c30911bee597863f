import { type OwnRecord, PublishError } from '../operations/channel-ports.ts';
import type { Clock } from '../runtime/clock.ts';
import { type TopicCatalog, type TopicFacts, TopicRefusedError } from './kafka-catalog.ts';
import { describeKafkaError } from './kafka-errors.ts';
import { partitionOfKey } from './partition.ts';

const LOOK_UP_PAUSE_MS = 100;

type Keyed = Pick<OwnRecord, 'topic' | 'key'>;

export interface PartitionChooserDeps {
  readonly catalog: Pick<TopicCatalog, 'known' | 'lookUp'>;
  readonly clock: Clock;
}

/**
 * Chooses the partition of a record by its key, as Kafka's Java client does, and asks for the number of partitions where
 * it is not known. Whatever it throws, nothing was sent.
 *
 * The number is what the brokers said within the last minute (`TopicCatalog`). Of a topic that has just been given more
 * partitions, records of a key may go to its old partition for that long, and to its new one after that: so does every
 * producer, and a key's order is not to be had across such a change.
 */
export class PartitionChooser {
  readonly #config: { readonly failFastMs: number; readonly confirmMs: number };
  readonly #deps: PartitionChooserDeps;
  #isStopped = false;
  /** Since when (monotonic) no topic could be asked about. */
  #blindSinceMs: number | null = null;
  #nextUnkeyed = 0;

  constructor(config: { readonly failFastMs: number; readonly confirmMs: number }, deps: PartitionChooserDeps) {
    this.#config = config;
    this.#deps = deps;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** Null where the brokers have to be asked. */
  known(record: Keyed, partition: number | null): number | null {
    const facts = this.#deps.catalog.known(record.topic);
    if (facts === null || (partition !== null && partition >= facts.partitionCount)) return null;
    return partition ?? this.#choose(record, facts);
  }

  /** Throws `PublishError`. */
  async find(record: Keyed, partition: number | null, giveUpAtMs: number): Promise<number> {
    const facts = await this.#lookUp(record.topic, giveUpAtMs);
    if (partition === null) return this.#choose(record, facts);
    if (partition < facts.partitionCount) return partition;
    const message = `topic ${record.topic} has ${facts.partitionCount} partitions, and no partition ${partition}`;
    throw notSent('unknown_topic', message, true);
  }

  /** A record without a key has no order to keep: it goes to the next partition in turn. */
  #choose({ key }: Keyed, { partitionCount }: TopicFacts): number {
    if (key !== null) return partitionOfKey(key, partitionCount);
    this.#nextUnkeyed = (this.#nextUnkeyed + 1) % partitionCount;
    return this.#nextUnkeyed;
  }

  async #lookUp(topic: string, giveUpAtMs: number): Promise<TopicFacts> {
    const { catalog, clock } = this.#deps;
    const startedMs = clock.monotonicMs();
    for (;;) {
      try {
        const facts = await catalog.lookUp(topic);
        this.#blindSinceMs = null;
        return facts;
      } catch (error) {
        const refusal = this.#judge(topic, error, startedMs, giveUpAtMs);
        if (refusal !== null) throw refusal;
      }
      await new Promise<void>((resolve) => clock.setTimer(resolve, LOOK_UP_PAUSE_MS));
    }
  }

  /** Null where it is worth asking again. */
  #judge(topic: string, error: unknown, startedMs: number, giveUpAtMs: number): PublishError | null {
    const nowMs = this.#deps.clock.monotonicMs();
    const { failFastMs, confirmMs } = this.#config;
    const isLate = nowMs + LOOK_UP_PAUSE_MS >= giveUpAtMs || this.#isStopped;
    if (error instanceof TopicRefusedError) {
      // Calls for a topic that is gone would wait here and take the places of others: they are told at once, after a while.
      if (!isLate && error.forMs < failFastMs) return null;
      return notSent(error.problem, error.message, error.forMs >= confirmMs, error);
    }
    this.#blindSinceMs ??= startedMs;
    if (!isLate && nowMs - this.#blindSinceMs < failFastMs) return null;
    const message = `Kafka cannot be asked about topic ${topic}: ${describeKafkaError(error)}`;
    return notSent('unreachable', message, false, error);
  }
}

export function notSent(
  problem: PublishError['problem'],
  message: string,
  definite = false,
  cause?: unknown,
): PublishError {
  return new PublishError(problem, message, { certainlyNotSent: true, definite, cause });
}
