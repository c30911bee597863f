import type { Producer } from 'kafkajs';
import {
  type CommandPublisher,
  type CommandRecord,
  type OwnRecord,
  PublishError,
  type PublishReceipt,
  type RecordSender,
} from '../operations/channel-ports.ts';
import type { Clock } from '../runtime/clock.ts';
import { Failure } from '../runtime/failure.ts';
import type { Counter, Metrics } from '../runtime/metrics.ts';
import { type TopicCatalog, TopicRefusedError } from './kafka-catalog.ts';
import type { KafkaPublishConfig } from './kafka-config.ts';
import { notSent, PartitionChooser } from './kafka-partition-chooser.ts';
import { PartitionQueue, type PendingRecord } from './kafka-partition-queue.ts';
import { type SendAttempt, startSend, startSendOnceFound } from './kafka-sender.ts';
import { BATCH_OVERHEAD_BYTES, measureRecordBytes, type SizedRecord } from './record-size.ts';

const SWEEP_MS = 100;

export interface KafkaPublisherDeps {
  /** Connects by itself, and heals itself (`kafka-producer.ts`). */
  readonly producer: Pick<Producer, 'send'>;
  readonly catalog: Pick<TopicCatalog, 'known' | 'lookUp' | 'maxMessageBytes'>;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly requestTimeoutMs: number;
}

/**
 * Publishes commands, and records of Sluice's own: chooses the partition as Kafka's Java client does, and hands the record
 * to the queue of its topic-partition. What waits and is in flight is bounded over all of them.
 */
export class KafkaPublisher implements CommandPublisher, RecordSender {
  readonly #config: Required<KafkaPublishConfig>;
  readonly #deps: KafkaPublisherDeps;
  readonly #chooser: PartitionChooser;
  readonly #outcomes: Counter;
  readonly #queues = new Map<string, PartitionQueue>();
  #pendingRecords = 0;
  #pendingBytes = 0;
  #isStopped = false;
  #isSweeping = false;
  #cancelSweep: (() => void) | null = null;

  constructor(config: KafkaPublishConfig, deps: KafkaPublisherDeps) {
    this.#config = { backoffMs: 50, maxBackoffMs: 1000, failFastMs: 1000, confirmMs: 30_000, ...config };
    this.#deps = deps;
    this.#chooser = new PartitionChooser(this.#config, deps);
    this.#outcomes = deps.metrics.counter('sluice_publish_records_total', 'Records handed to Kafka, by outcome.', [
      'outcome',
    ]);
    deps.metrics.gauge(
      'sluice_publish_pending_records',
      'Records that wait for the broker.',
      () => this.#pendingRecords,
    );
  }

  /** What keeps records from being published; null while all is well. */
  trouble(): string | null {
    for (const queue of this.#queues.values()) {
      const trouble = queue.trouble();
      if (trouble !== null) return `records cannot be published to ${trouble}`;
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

  publish(record: CommandRecord, giveUpAtMs: number): Promise<PublishReceipt> {
    return this.#publish(record, null, giveUpAtMs);
  }

  send(record: OwnRecord, giveUpAtMs: number): Promise<PublishReceipt> {
    return this.#publish(record, record.partition, giveUpAtMs);
  }

  /** Waits for what is pending, at most `graceMs`, then gives the rest up and disconnects. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopped = true;
    this.#chooser.stop();
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

  async #publish(
    record: CommandRecord | OwnRecord,
    partition: number | null,
    giveUpAtMs: number,
  ): Promise<PublishReceipt> {
    const sizeBytes = measureRecordBytes(record);
    try {
      this.#reserve(sizeBytes);
      const chosen = await this.#partitionOf(record, partition, sizeBytes, giveUpAtMs);
      const receipt = await this.#enqueue(record, chosen, sizeBytes, giveUpAtMs);
      this.#outcomes.add(1, 'acknowledged');
      return receipt;
    } catch (error) {
      this.#outcomes.add(1, error instanceof PublishError ? error.problem : 'other');
      throw error;
    }
  }

  #reserve(sizeBytes: number): void {
    if (this.#isStopped) throw notSent('unreachable', 'the channel is being closed');
    const { maxPendingRecords, maxPendingBytes } = this.#config;
    if (this.#pendingRecords >= maxPendingRecords || this.#pendingBytes + sizeBytes > maxPendingBytes) {
      throw notSent('overloaded', `${this.#pendingRecords} records wait for the broker, as many as may`);
    }
    this.#pendingRecords += 1;
    this.#pendingBytes += sizeBytes;
  }

  #release(sizeBytes: number): void {
    this.#pendingRecords -= 1;
    this.#pendingBytes -= sizeBytes;
  }

  async #partitionOf(
    record: CommandRecord | OwnRecord,
    partition: number | null,
    sizeBytes: number,
    giveUpAtMs: number,
  ): Promise<number> {
    try {
      return this.#chooser.known(record, partition) ?? (await this.#chooser.find(record, partition, giveUpAtMs));
    } catch (error) {
      this.#release(sizeBytes);
      throw error;
    }
  }

  #enqueue(
    record: CommandRecord | OwnRecord,
    partition: number,
    sizeBytes: number,
    giveUpAtMs: number,
  ): Promise<PublishReceipt> {
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
      send: (records) => this.#startSend(topic, partition, records),
      confirmRefusal: () => this.#isTopicGone(topic),
    });
    this.#queues.set(name, made);
    return made;
  }

  #startSend(topic: string, partition: number, records: readonly SizedRecord[]): SendAttempt {
    const { producer, catalog, requestTimeoutMs } = this.#deps;
    const start = () => startSend(producer, topic, partition, records, requestTimeoutMs);
    const known = catalog.known(topic);
    if (known !== null && partition < known.partitionCount) return start();
    return startSendOnceFound(this.#findPartition(topic, partition), start);
  }

  async #findPartition(topic: string, partition: number): Promise<void> {
    const { partitionCount } = await this.#deps.catalog.lookUp(topic);
    if (partition < partitionCount) return;
    throw new TopicRefusedError(
      'unknown_topic',
      `topic ${topic} was made anew with ${partitionCount} partitions`,
      0,
      null,
    );
  }

  async #isTopicGone(topic: string): Promise<boolean> {
    try {
      await this.#deps.catalog.lookUp(topic);
      return false;
    } catch (error) {
      return error instanceof TopicRefusedError && error.forMs >= this.#config.confirmMs;
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
