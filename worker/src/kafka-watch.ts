import type { Admin, Kafka } from 'kafkajs';
import { type Clock, delay } from './clock.ts';
import { askAnew } from './kafka-connection.ts';
import type { KafkaConsumer } from './kafka-consumer.ts';
import { readTopicOffsets } from './kafka-topics.ts';
import type { IncomingRecord, Position, WatchOptions } from './transport.ts';

export interface KafkaWatchDeps {
  readonly kafka: Pick<Kafka, 'admin'>;
  /** Not started. */
  readonly createConsumer: (from: readonly Position[], onRecords: WatchOptions['onRecords']) => KafkaConsumer;
  readonly clock: Clock;
}

interface Stretch extends Position {
  /** One past the last record, as it was when it was asked. */
  readonly end: bigint;
}

/** A marker of a transaction at the end of a partition is never shown: so long is waited for a record that does not come. */
const CATCH_UP_MS = 5_000;

/** False where there is no such topic, and no consumer is made. @throws what kafkajs throws */
export async function watchKafkaTopic(options: WatchOptions, deps: KafkaWatchDeps): Promise<boolean> {
  const stretches = await findStretches(deps.kafka, options);
  if (stretches === null) return false;
  const reading = new CatchUp(stretches, options.onRecords);
  const consumer = deps.createConsumer(stretches, (records) => reading.take(records));
  await consumer.start();
  const patience = new AbortController();
  await Promise.race([reading.done, delay(deps.clock, CATCH_UP_MS, patience.signal).catch(() => {})]);
  patience.abort();
  return true;
}

function findStretches(kafka: KafkaWatchDeps['kafka'], { topic, sinceMs }: WatchOptions): Promise<Stretch[] | null> {
  return askAnew(kafka, async (admin) => {
    if (!(await admin.listTopics()).includes(topic)) return null;
    return readStretches(admin, topic, sinceMs);
  });
}

async function readStretches(admin: Admin, topic: string, sinceMs: number): Promise<Stretch[]> {
  const ends = new Map((await readTopicOffsets(admin, topic)).map(({ partition, high }) => [partition, BigInt(high)]));
  const begins = await admin.fetchTopicOffsetsByTimestamp(topic, sinceMs);
  return begins.map(({ partition, offset }) => {
    const begin = BigInt(offset);
    return { topic, partition, offset: begin, end: ends.get(partition) ?? begin };
  });
}

/** Passes records on, and knows when all that were there at the start have passed. */
class CatchUp {
  readonly done: Promise<void>;
  readonly #resolve: () => void;
  readonly #missing: Map<number, bigint>;
  readonly #onRecords: WatchOptions['onRecords'];

  constructor(stretches: readonly Stretch[], onRecords: WatchOptions['onRecords']) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.done = promise;
    this.#resolve = resolve;
    this.#onRecords = onRecords;
    const unread = stretches.filter(({ offset, end }) => offset < end);
    this.#missing = new Map(unread.map(({ partition, end }) => [partition, end]));
    this.#check();
  }

  take(records: readonly IncomingRecord[]): void {
    this.#onRecords(records);
    for (const { partition, offset } of records) {
      if (offset + 1n >= (this.#missing.get(partition) ?? offset)) this.#missing.delete(partition);
    }
    this.#check();
  }

  #check(): void {
    if (this.#missing.size === 0) this.#resolve();
  }
}
