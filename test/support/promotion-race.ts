// Replies raced against the end of their calls' wait: a real gateway, a bare worker that answers at chosen moments, and
// many callers. Without vitest, so that the long form can run by itself. One process: what is measured is order, not speed.
import { fileURLToPath } from 'node:url';
import { type IHeaders, Kafka, logLevel } from 'kafkajs';
import type { Channel } from '../../src/channel/channel.ts';
import { makeConfig } from '../../src/config.ts';
import { type Gateway, startGateway } from '../../src/gateway.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { waitUntil } from './wait.ts';

export interface RacePlace {
  readonly brokers: readonly string[];
  readonly databaseUrl: string;
  readonly namespace: string;
}

export interface RacePlan {
  /** Ends once so many replies were read within `CLOSE_MS` of the end of their call's wait … */
  readonly closeReplies: number;
  /** … or after so many calls. */
  readonly maxCalls: number;
  readonly inFlight: number;
}

export interface RaceBucket {
  /** Replies read from `fromMs` up to 10 ms later, against the end of the wait. */
  readonly fromMs: number;
  answered: number;
  promised: number;
}

export interface RaceReport {
  readonly calls: number;
  /** 200 with the worker's result. */
  readonly answered: number;
  /** 202 whose operation succeeded with the worker's result. */
  readonly promised: number;
  /** What ended as anything else, and how. */
  readonly lost: readonly string[];
  readonly closeReplies: number;
  /** Replies that came while the row was being inserted. */
  readonly held: number;
  /** After the last call: calls and commands that the gateway still holds. */
  readonly leftOpen: number;
  readonly buckets: readonly RaceBucket[];
  readonly seconds: number;
}

export const CLOSE_MS = 5;
const WAIT_MS = 300;
const SPREAD_MS = 100;
/** Half of the replies aim closer, or most of the work would be done far from the race. */
const NARROW_MS = 20;
const BUCKET_MS = 10;
/** How long a send lives on after the wait (`operations.ts`): what the publisher is told gives the end of the wait away. */
const PUBLISH_GRACE_MS = 1000;
const READY_TIMEOUT_MS = 30_000;
const CONTRACT = fileURLToPath(new URL('contract', import.meta.url));

/** When each call's wait ends, and when its reply was read; monotonic ms by operation id. */
class Times {
  readonly ends = new Map<string, number>();
  /** Operation ids by the text of the request: an answer that comes in time does not name its operation. */
  readonly ids = new Map<string, string>();
  readonly reads = new Map<string, number>();
  close = 0;

  noteRead(id: string): void {
    const end = this.ends.get(id);
    if (end === undefined || this.reads.has(id)) return;
    const now = performance.now();
    this.reads.set(id, now);
    if (Math.abs(now - end) <= CLOSE_MS) this.close += 1;
  }

  /** Negative: before the end of the wait. */
  distanceOf(id: string): number {
    return (this.reads.get(id) ?? Number.NaN) - (this.ends.get(id) ?? Number.NaN);
  }
}

export async function runPromotionRace(place: RacePlace, plan: RacePlan): Promise<RaceReport> {
  const times = new Times();
  const gateway = await startGateway(configOf(place), {
    logger: silentLogger,
    wrapChannel: (channel) => watchChannel(channel, times),
  });
  try {
    await waitUntil({ what: 'gateway ready', timeoutMs: READY_TIMEOUT_MS }, () => gateway.readiness().ready);
    const worker = await startWorker(place, times);
    try {
      return await new Race(gateway, plan, times).run();
    } finally {
      await worker.stop();
    }
  } finally {
    await gateway.drain();
  }
}

function configOf({ brokers, databaseUrl, namespace }: RacePlace) {
  return makeConfig({
    contract: { sources: [CONTRACT], policies: { methods: { 'calls.v1.Calls/Do': { wait: `${WAIT_MS}ms` } } } },
    http: { port: 0 },
    grpc: { port: 0 },
    management: { port: 0 },
    kafka: { brokers: [...brokers], namespace, replyPartitions: 4, commandTopicPartitions: 2, fetchMaxWaitMs: 100 },
    store: { databaseUrl },
    drain: { timeoutMs: 0 },
  });
}

function watchChannel(channel: Channel, times: Times): Channel {
  const { publisher, replies } = channel;
  return {
    publisher: {
      assertFits: (record) => publisher.assertFits(record),
      publish: (record, giveUpAtMs) => {
        const id = record.headers.find(([name]) => name === 'ce_id')?.[1] as string;
        times.ends.set(id, giveUpAtMs - PUBLISH_GRACE_MS);
        times.ids.set(JSON.parse(Buffer.from(record.value).toString()).text, id);
        return publisher.publish(record, giveUpAtMs);
      },
    },
    replies: {
      topic: replies.topic,
      partitions: () => replies.partitions(),
      bounds: (partitions) => replies.bounds(partitions),
      start: (onBatch) =>
        replies.start((batch) => {
          for (const { correlation } of batch.replies) times.noteRead(correlation.operationId);
          return onBatch(batch);
        }),
      adopt: (partition, fromOffset) => replies.adopt(partition, fromOffset),
      abandon: (partition) => replies.abandon(partition),
      canReread: replies.canReread,
      reread: (partition, fromOffset, onBatch) => replies.reread(partition, fromOffset, onBatch),
      trouble: () => replies.trouble(),
      stop: () => replies.stop(),
    },
    sender: channel.sender,
    workers: channel.workers,
    ensureTopics: (topics) => channel.ensureTopics(topics),
    degraded: () => channel.degraded(),
    stop: () => channel.stop(),
  };
}

/** Answers each command once, at a moment around the end of its call's wait. */
async function startWorker(place: RacePlace, times: Times): Promise<{ stop(): Promise<void> }> {
  const kafka = new Kafka({ brokers: [...place.brokers], clientId: 'race-worker', logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId: `${place.namespace}.race-worker`, maxWaitTimeInMs: 100 });
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  const timers = new Set<NodeJS.Timeout>();
  await Promise.all([consumer.connect(), producer.connect()]);
  await consumer.subscribe({ topics: [`${place.namespace}.calls.v1.Calls.Do`], fromBeginning: true });
  const reply = (headers: IHeaders, value: Buffer | null) => {
    const [topic, partition] = [textOf(headers, 'kafka_replyTopic'), textOf(headers, 'kafka_replyPartition')];
    const correlation = { kafka_correlationId: textOf(headers, 'kafka_correlationId') };
    void producer.send({ topic, messages: [{ partition: Number(partition), value, headers: correlation }] });
  };
  await consumer.run({
    autoCommit: false,
    partitionsConsumedConcurrently: 2,
    eachMessage: async ({ message: { headers = {}, value } }) => {
      const end = times.ends.get(textOf(headers, 'ce_id')) ?? performance.now();
      const timer = setTimeout(
        () => {
          timers.delete(timer);
          reply(headers, value);
        },
        Math.max(0, end + pickDistanceMs() - performance.now()),
      );
      timers.add(timer);
    },
  });
  const stop = async () => {
    for (const timer of timers) clearTimeout(timer);
    await consumer.disconnect();
    await producer.disconnect();
  };
  return { stop };
}

/** The way back takes a few milliseconds, so what is aimed at the end itself is read a little after it. */
function pickDistanceMs(): number {
  const spread = Math.random() < 0.5 ? SPREAD_MS : NARROW_MS;
  return (Math.random() * 2 - 1) * spread - 3;
}

function textOf(headers: IHeaders, name: string): string {
  const value = headers[name];
  return String(Array.isArray(value) ? value[0] : value);
}

class Race {
  readonly #gateway: Gateway;
  readonly #url: string;
  readonly #plan: RacePlan;
  readonly #times: Times;
  readonly #lost: string[] = [];
  readonly #buckets = new Map<number, RaceBucket>();
  readonly #following = new Set<Promise<void>>();
  #calls = 0;
  #answered = 0;
  #promised = 0;

  constructor(gateway: Gateway, plan: RacePlan, times: Times) {
    this.#gateway = gateway;
    this.#plan = plan;
    this.#times = times;
    this.#url = `http://127.0.0.1:${gateway.ports.http}`;
  }

  async run(): Promise<RaceReport> {
    const startedMs = performance.now();
    await Promise.all(Array.from({ length: this.#plan.inFlight }, () => this.#callUntilEnough()));
    await Promise.all(this.#following);
    const metrics = await this.#readMetrics();
    return {
      calls: this.#calls,
      answered: this.#answered,
      promised: this.#promised,
      lost: this.#lost,
      closeReplies: this.#times.close,
      held: metrics('sluice_replies_total{fate="held"}'),
      leftOpen: metrics('sluice_open_calls') + metrics('sluice_unpublished_operations'),
      buckets: [...this.#buckets.values()].sort((a, b) => a.fromMs - b.fromMs),
      seconds: (performance.now() - startedMs) / 1000,
    };
  }

  async #callUntilEnough(): Promise<void> {
    while (this.#times.close < this.#plan.closeReplies && this.#calls < this.#plan.maxCalls) await this.#call();
  }

  async #call(): Promise<void> {
    const text = `call ${++this.#calls}`;
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${this.#url}/v1/do`, { method: 'POST', headers, body: JSON.stringify({ text }) });
    const body = (await response.json()) as { text?: string; id?: string; code?: string };
    if (response.status === 200 && body.text === text) {
      this.#answered += 1;
      this.#bucketOf(this.#times.ids.get(text) ?? '').answered += 1;
    } else if (response.status === 202 && body.id !== undefined) this.#follow(body.id, text);
    else this.#lost.push(`${text}: ${response.status} ${body.code ?? JSON.stringify(body)}`);
  }

  /** Beside the next call: what is promised must not slow the race down. */
  #follow(id: string, text: string): void {
    const following = this.#followToEnd(id, text).finally(() => this.#following.delete(following));
    this.#following.add(following);
  }

  async #followToEnd(id: string, text: string): Promise<void> {
    const response = await fetch(`${this.#url}/operations/${id}`, { headers: { prefer: 'wait=30' } });
    const body = (await response.json()) as { state?: string; result?: { text?: string } };
    if (body.state !== 'succeeded' || body.result?.text !== text) {
      this.#lost.push(`${text}: 202, then ${response.status} ${JSON.stringify(body)}`);
      return;
    }
    this.#promised += 1;
    this.#bucketOf(id).promised += 1;
  }

  #bucketOf(id: string): RaceBucket {
    const fromMs = Math.floor(this.#times.distanceOf(id) / BUCKET_MS) * BUCKET_MS;
    const known = this.#buckets.get(fromMs);
    if (known) return known;
    const made = { fromMs, answered: 0, promised: 0 };
    this.#buckets.set(fromMs, made);
    return made;
  }

  async #readMetrics(): Promise<(name: string) => number> {
    const response = await fetch(`http://127.0.0.1:${this.#gateway.ports.management}/metrics`);
    const lines = (await response.text()).split('\n');
    return (name) => Number(lines.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1) ?? 0);
  }
}
