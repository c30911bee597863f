import type { Kafka, Producer } from 'kafkajs';
import { type Clock, delay } from './clock.ts';
import { judgeError, type Verdict } from './kafka-errors.ts';
import type { KafkaTopics } from './kafka-topics.ts';
import type { Logger } from './log.ts';
import { type HeaderList, type OutgoingRecord, SendError } from './transport.ts';

export interface KafkaSenderOptions {
  readonly kafka: Kafka;
  readonly topics: KafkaTopics;
  readonly maxPendingRecords: number;
  readonly refusedAfterMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Waiting {
  readonly record: OutgoingRecord;
  readonly resolve: () => void;
  readonly reject: (error: SendError) => void;
}

/** The queue of one topic-partition. */
interface Lane {
  readonly topic: string;
  readonly partition: number;
  waiting: Waiting[];
}

const MAX_BATCH_RECORDS = 500;
const MAX_BATCH_BYTES = 800_000;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5_000;
/** A broker that restarts is back by then; what lasts longer is warned of once. */
const LOUD_BACKOFF_MS = 1_600;

/**
 * Group commit: per topic-partition, one batch is in flight while the next one gathers. One `send` of kafkajs holds one
 * topic-partition only, because kafkajs reports the first partition's error alone; it does not retry, because a leader
 * change between its retries loses records in silence: whole sends are repeated here. Order is kept within a partition.
 */
export class KafkaSender {
  readonly #options: KafkaSenderOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #closing = new AbortController();
  #producer: Promise<Producer> | null = null;
  #pendingRecords = 0;

  constructor(options: KafkaSenderOptions) {
    this.#options = options;
  }

  async send(records: readonly OutgoingRecord[]): Promise<void> {
    if (this.#closing.signal.aborted) throw closed(false);
    if (this.#pendingRecords + records.length > this.#options.maxPendingRecords) {
      throw new SendError('full', `${this.#pendingRecords} records wait to be acknowledged`, { maybeSent: false });
    }
    this.#pendingRecords += records.length;
    try {
      await Promise.all(records.map((record) => this.#sendOne(record)));
    } finally {
      this.#pendingRecords -= records.length;
    }
  }

  /** What waits is rejected. */
  async close(): Promise<void> {
    this.#closing.abort();
    const producer = await this.#producer?.catch(() => null);
    await producer?.disconnect();
  }

  async #sendOne(record: OutgoingRecord): Promise<void> {
    const partition = record.partition ?? (await this.#choosePartition(record));
    return new Promise((resolve, reject) => this.#enqueue(record.topic, partition, { record, resolve, reject }));
  }

  async #choosePartition(record: OutgoingRecord): Promise<number> {
    let partition = -1;
    await this.#repeat(false, async () => {
      partition = await this.#options.topics.choosePartition(record.topic, record.key);
    });
    return partition;
  }

  #enqueue(topic: string, partition: number, waiting: Waiting): void {
    const name = `${topic}/${partition}`;
    const lane = this.#lanes.get(name);
    if (lane) {
      lane.waiting.push(waiting);
      return;
    }
    const opened: Lane = { topic, partition, waiting: [waiting] };
    this.#lanes.set(name, opened);
    // At the end of this turn of the event loop, so that what is sent in one turn shares a request.
    setImmediate(() => void this.#drain(name, opened));
  }

  async #drain(name: string, lane: Lane): Promise<void> {
    while (lane.waiting.length > 0) await this.#deliver(lane, takeBatch(lane));
    this.#lanes.delete(name);
  }

  /** Settles every item of the batch. Never rejects. */
  async #deliver(lane: Lane, batch: Waiting[]): Promise<void> {
    try {
      await this.#repeat(true, () => this.#sendBatch(lane, batch));
      for (const item of batch) item.resolve();
    } catch (error) {
      const failure = error as SendError;
      if (failure.reason !== 'too_large' || batch.length === 1) {
        for (const item of batch) item.reject(failure);
        return;
      }
      // Only the offender shall fail: halve until it is alone.
      const middle = Math.ceil(batch.length / 2);
      await this.#deliver(lane, batch.slice(0, middle));
      await this.#deliver(lane, batch.slice(middle));
    }
  }

  async #sendBatch(lane: Lane, batch: readonly Waiting[]): Promise<void> {
    const producer = await this.#connect();
    const metadata = await producer.send({
      topic: lane.topic,
      acks: -1,
      timeout: 30_000,
      messages: batch.map(({ record }) => ({
        partition: lane.partition,
        key: record.key === null ? null : Buffer.from(record.key),
        value: record.value === null ? null : Buffer.from(record.value),
        headers: toKafkaHeaders(record.headers),
      })),
    });
    // An empty list is how kafkajs reports that it sent nothing.
    const acknowledged = metadata.some((entry) => entry.partition === lane.partition && entry.errorCode === 0);
    if (!acknowledged) throw new Error(`${lane.topic}/${lane.partition}: not acknowledged`);
  }

  /** Repeats `attempt` until it succeeds, is refused for good, or the sender closes. @throws SendError */
  async #repeat(sends: boolean, attempt: () => Promise<void>): Promise<void> {
    const { clock, logger, refusedAfterMs } = this.#options;
    const startMs = clock.nowMs();
    // True once an attempt ended in a way that leaves open whether the broker has the records.
    let maybeSent = false;
    for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)) {
      try {
        if (this.#closing.signal.aborted) throw closed(maybeSent);
        return await attempt();
      } catch (error) {
        if (error instanceof SendError) throw error;
        const verdict = judgeError(error);
        maybeSent ||= sends && verdict === 'retry' && !isConnectError(error);
        const isFinal = verdict === 'too_large' || (verdict !== 'retry' && clock.nowMs() - startMs >= refusedAfterMs);
        if (isFinal) throw refused(verdict, error, maybeSent);
        const level = backoffMs === LOUD_BACKOFF_MS ? 'warn' : 'debug';
        logger[level]({ reason: (error as Error).message }, 'send failed; it is repeated for as long as it takes');
        if (verdict !== 'retry') await this.#dropProducer();
        await delay(clock, backoffMs, this.#closing.signal).catch(() => {});
      }
    }
  }

  /** kafkajs refreshes all topics it ever used at once, and one unknown topic fails them all: start without it. */
  async #dropProducer(): Promise<void> {
    const producer = this.#producer;
    this.#producer = null;
    const connected = await producer?.catch(() => null);
    await connected?.disconnect().catch(() => {});
  }

  #connect(): Promise<Producer> {
    this.#producer ??= this.#open();
    return this.#producer;
  }

  async #open(): Promise<Producer> {
    const producer = this.#options.kafka.producer({ allowAutoTopicCreation: false, retry: { retries: 0 } });
    try {
      await producer.connect();
      return producer;
    } catch (error) {
      this.#producer = null;
      throw error;
    }
  }
}

function takeBatch(lane: Lane): Waiting[] {
  let bytes = 0;
  let count = 0;
  for (const { record } of lane.waiting) {
    bytes += sizeOf(record);
    if (count > 0 && (bytes > MAX_BATCH_BYTES || count >= MAX_BATCH_RECORDS)) break;
    count += 1;
  }
  return lane.waiting.splice(0, count);
}

function sizeOf(record: OutgoingRecord): number {
  const headers = record.headers.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
  return headers + (record.key?.length ?? 0) + (record.value?.length ?? 0) + 32;
}

/** kafkajs takes equal names as a list. */
export function toKafkaHeaders(headers: HeaderList): Record<string, Buffer | Buffer[]> {
  const result: Record<string, Buffer | Buffer[]> = {};
  for (const [name, value] of headers) {
    const earlier = result[name];
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    result[name] = earlier === undefined ? bytes : [earlier, bytes].flat();
  }
  return result;
}

function isConnectError(error: unknown): boolean {
  const { name } = error as Error;
  return name === 'KafkaJSConnectionError' || name === 'KafkaJSBrokerNotFound';
}

function closed(maybeSent: boolean): SendError {
  return new SendError('closed', 'the transport was closed', { maybeSent });
}

function refused(verdict: Verdict, cause: unknown, maybeSent: boolean): SendError {
  return new SendError(verdict as Exclude<Verdict, 'retry'>, (cause as Error).message, { maybeSent, cause });
}
