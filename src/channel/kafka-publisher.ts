import type { Producer } from 'kafkajs';
import { type CommandPublisher, type CommandRecord, PublishError, type PublishReceipt } from '../operations/ports.ts';
import type { Clock } from '../runtime/clock.ts';
import { Failure } from '../runtime/failure.ts';
import type { Counter, Metrics } from '../runtime/metrics.ts';
import { type TopicCatalog, type TopicFacts, TopicRefusedError } from './kafka-catalog.ts';
import type { KafkaPublishConfig } from './kafka-config.ts';
import { describeKafkaError } from './kafka-errors.ts';
import { PartitionQueue, type PendingRecord } from './kafka-partition-queue.ts';
import { startSend } from './kafka-sender.ts';
import { partitionOfKey } from './partition.ts';
import { BATCH_OVERHEAD_BYTES, measureRecordBytes } from './record-size.ts';

const SWEEP_MS = 100;
const LOOK_UP_PAUSE_MS = 100;

export interface KafkaPublisherDeps {
  readonly producer: Pick<Producer, 'send' | 'connect' | 'disconnect'>;
  readonly catalog: Pick<TopicCatalog, 'known' | 'lookUp' | 'maxMessageBytes'>;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly requestTimeoutMs: number;
}

/**
 * Publishes commands: chooses the partition as Kafka's Java client does, and hands the record to the queue of its
 * topic-partition. What waits and is in flight is bounded over all of them.
 *
 * The place for what is still to come: a topic that is deleted while we run makes kafkajs fail to refresh the metadata of
 * every topic that this producer has used; the producer is then to be rebuilt without it.
 */
export class KafkaPublisher implements CommandPublisher {
  readonly #config: Required<KafkaPublishConfig>;
  readonly #deps: KafkaPublisherDeps;
  readonly #outcomes: Counter;
  readonly #queues = new Map<string, PartitionQueue>();
  #pendingRecords = 0;
  #pendingBytes = 0;
  #connecting: Promise<void> | null = null;
  #isConnected = false;
  #isStopped = false;
  #isSweeping = false;
  #cancelSweep: (() => void) | null = null;
  /** Since when (monotonic) no topic could be asked about. */
  #blindSinceMs: number | null = null;

  constructor(config: KafkaPublishConfig, deps: KafkaPublisherDeps) {
    this.#config = { backoffMs: 50, maxBackoffMs: 1000, failFastMs: 1000, confirmMs: 30_000, ...config };
    this.#deps = deps;
    this.#outcomes = deps.metrics.counter('sluice_publish_records_total', 'Commands handed to Kafka, by outcome.', [
      'outcome',
    ]);
    deps.metrics.gauge(
      'sluice_publish_pending_records',
      'Commands that wait for the broker.',
      () => this.#pendingRecords,
    );
  }

  /** Connects; may be called again after a failure, and is by every send. Throws what kafkajs throws. */
  connect(): Promise<void> {
    if (this.#isConnected) return Promise.resolve();
    this.#connecting ??= this.#deps.producer
      .connect()
      .then(() => {
        this.#isConnected = true;
      })
      .finally(() => {
        this.#connecting = null;
      });
    return this.#connecting;
  }

  /** What keeps commands from being published; null while all is well. */
  trouble(): string | null {
    for (const queue of this.#queues.values()) {
      const trouble = queue.trouble();
      if (trouble !== null) return `commands cannot be published to ${trouble}`;
    }
    return null;
  }

  assertFits(record: CommandRecord): void {
    const sizeBytes = measureRecordBytes(record) + BATCH_OVERHEAD_BYTES;
    const maxBytes = this.#deps.catalog.maxMessageBytes(record.topic);
    if (sizeBytes <= maxBytes) return;
    throw new Failure(
      'REQUEST_TOO_LARGE',
      `the record made of this request has ${sizeBytes} bytes, topic ${record.topic} takes at most ${maxBytes}`,
    );
  }

  async publish(record: CommandRecord, giveUpAtMs: number): Promise<PublishReceipt> {
    const sizeBytes = measureRecordBytes(record);
    try {
      this.#reserve(sizeBytes);
      const partition = await this.#partitionOf(record, sizeBytes, giveUpAtMs);
      const receipt = await this.#enqueue(record, partition, sizeBytes, giveUpAtMs);
      this.#outcomes.add(1, 'acknowledged');
      return receipt;
    } catch (error) {
      this.#outcomes.add(1, error instanceof PublishError ? error.problem : 'other');
      throw error;
    }
  }

  /** Waits for what is pending, at most `graceMs`, then gives the rest up and disconnects. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopped = true;
    const queues = [...this.#queues.values()];
    let cancel = () => {};
    const grace = new Promise<void>((resolve) => {
      cancel = this.#deps.clock.setTimer(resolve, graceMs);
    });
    await Promise.race([Promise.all(queues.map((queue) => queue.drain())), grace]);
    cancel();
    for (const queue of queues) queue.stop();
    this.#cancelSweep?.();
  }

  #reserve(sizeBytes: number): void {
    if (this.#isStopped) throw notSent('unreachable', 'the channel is being closed');
    const { maxPendingRecords, maxPendingBytes } = this.#config;
    if (this.#pendingRecords >= maxPendingRecords || this.#pendingBytes + sizeBytes > maxPendingBytes) {
      throw notSent('overloaded', `${this.#pendingRecords} commands wait for the broker, as many as may`);
    }
    this.#pendingRecords += 1;
    this.#pendingBytes += sizeBytes;
  }

  #release(sizeBytes: number): void {
    this.#pendingRecords -= 1;
    this.#pendingBytes -= sizeBytes;
  }

  async #partitionOf(record: CommandRecord, sizeBytes: number, giveUpAtMs: number): Promise<number> {
    try {
      const facts = this.#deps.catalog.known(record.topic) ?? (await this.#lookUp(record.topic, giveUpAtMs));
      return partitionOfKey(record.key, facts.partitionCount);
    } catch (error) {
      this.#release(sizeBytes);
      throw error;
    }
  }

  #enqueue(record: CommandRecord, partition: number, sizeBytes: number, giveUpAtMs: number): Promise<PublishReceipt> {
    const queue = this.#queueOf(record.topic, partition);
    return new Promise((resolve, reject) => {
      const item: PendingRecord = {
        record,
        sizeBytes,
        giveUpAtMs,
        resolve,
        reject,
        isSettled: false,
        maybeSent: false,
      };
      this.#startSweeping();
      // The place is free when the queue has let go, which may be after the caller was told: memory is what is bounded.
      void queue.submit(item).finally(() => this.#release(sizeBytes));
    });
  }

  #queueOf(topic: string, partition: number): PartitionQueue {
    const name = `${topic}/${partition}`;
    const known = this.#queues.get(name);
    if (known) return known;
    const made = new PartitionQueue({
      ...this.#config,
      topic,
      partition,
      batchBytes: Math.min(this.#config.batchBytes, this.#deps.catalog.maxMessageBytes(topic) - BATCH_OVERHEAD_BYTES),
      clock: this.#deps.clock,
      send: (records) => startSend(this.#sendOnceConnected, topic, partition, records, this.#deps.requestTimeoutMs),
      confirmRefusal: () => this.#isTopicGone(topic),
    });
    this.#queues.set(name, made);
    return made;
  }

  readonly #sendOnceConnected: Pick<Producer, 'send'> = {
    send: async (record) => {
      if (!this.#isConnected) await this.connect();
      return this.#deps.producer.send(record);
    },
  };

  async #isTopicGone(topic: string): Promise<boolean> {
    try {
      await this.#deps.catalog.lookUp(topic);
      return false;
    } catch (error) {
      return error instanceof TopicRefusedError && error.forMs >= this.#config.confirmMs;
    }
  }

  /** Before the first record of a topic. Nothing has been sent whatever happens here. */
  async #lookUp(topic: string, giveUpAtMs: number): Promise<TopicFacts> {
    const { clock } = this.#deps;
    const startedMs = clock.monotonicMs();
    for (;;) {
      try {
        const facts = await this.#deps.catalog.lookUp(topic);
        this.#blindSinceMs = null;
        return facts;
      } catch (error) {
        const nowMs = clock.monotonicMs();
        if (error instanceof TopicRefusedError) {
          const definite = error.forMs >= this.#config.confirmMs;
          if (definite || nowMs + LOOK_UP_PAUSE_MS >= giveUpAtMs)
            throw notSent(error.problem, error.message, definite, error);
        } else {
          this.#blindSinceMs ??= startedMs;
          const isBlind = nowMs - this.#blindSinceMs >= this.#config.failFastMs;
          if (isBlind || nowMs + LOOK_UP_PAUSE_MS >= giveUpAtMs || this.#isStopped) {
            throw notSent(
              'unreachable',
              `Kafka cannot be asked about topic ${topic}: ${describeKafkaError(error)}`,
              false,
              error,
            );
          }
        }
      }
      await new Promise<void>((resolve) => clock.setTimer(resolve, LOOK_UP_PAUSE_MS));
    }
  }

  /** Runs only while something is pending: an idle gateway wakes for nothing. */
  #startSweeping(): void {
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    this.#cancelSweep = this.#deps.clock.setTimer(() => {
      this.#isSweeping = false;
      for (const queue of this.#queues.values()) queue.sweep();
      if (this.#pendingRecords > 0) this.#startSweeping();
    }, SWEEP_MS);
  }
}

function notSent(problem: PublishError['problem'], message: string, definite = false, cause?: unknown): PublishError {
  return new PublishError(problem, message, { certainlyNotSent: true, definite, cause });
}
