import { type IHeaders, Kafka, logLevel, type Message, type ProducerRecord, type RecordMetadata } from 'kafkajs';
import type { Channel } from '../../src/channel/channel.ts';
import { createKafkaChannel, type KafkaChannelConfig } from '../../src/channel/kafka.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { type ChannelHarness, groupHeaders, type HeaderList, type PlainRecord } from './channel-harness.ts';
import { uniqueName } from './real-parts.ts';
import { waitUntil } from './wait.ts';

export function makeKafkaConfig(
  brokers: readonly string[],
  change: Partial<KafkaChannelConfig> = {},
): KafkaChannelConfig {
  const namespace = `${uniqueName('channel')}.`;
  return {
    brokers,
    clientId: 'sluice-test',
    ssl: false,
    sasl: null,
    connectTimeoutMs: 2000,
    requestTimeoutMs: 5000,
    bootId: 'boot',
    namespace,
    replyTopic: `${namespace}replies`,
    deadLetterTopic: `${namespace}dead-letters`,
    controlTopic: `${namespace}control`,
    eventsTopic: `${namespace}events`,
    createTopics: true,
    replyPartitions: 4,
    commandTopicPartitions: 3,
    replicationFactor: -1,
    minReplyRetentionMs: 3_600_000,
    maxResultBytes: 100_000,
    publish: { maxPendingRecords: 5000, maxPendingBytes: 50_000_000, batchRecords: 500, batchBytes: 800_000 },
    fetchMaxWaitMs: 250,
    fetchMaxBytes: 8 * 1024 * 1024,
    sessionTimeoutMs: 6000,
    ...change,
  };
}

/** `ensureTopics` goes on in the background where the brokers are slow; this waits for the end. */
export async function prepareChannel(channel: Channel, commandTopics: readonly string[]): Promise<void> {
  await channel.ensureTopics(commandTopics);
  await waitUntil({ what: 'topics of the channel', timeoutMs: 30_000 }, async () => channel.degraded() === null);
}

export function makeTools() {
  return { clock: systemClock, logger: silentLogger, metrics: createMetrics() };
}

/** A plain kafkajs, as a worker has it. */
export function makePlainKafka(brokers: readonly string[]): Kafka {
  return new Kafka({ brokers: [...brokers], clientId: 'plain', logLevel: logLevel.NOTHING });
}

export async function openKafkaHarness(brokers: readonly string[]): Promise<ChannelHarness> {
  const config = makeKafkaConfig(brokers);
  const channel = await createKafkaChannel(config, makeTools());
  const commandTopic = `${config.namespace}commands`;
  await prepareChannel(channel, [commandTopic]);
  const plain = makePlainKafka(brokers);
  const producer = plain.producer({ createPartitioner: () => (args) => args.message.partition ?? 0 });
  await producer.connect();
  const closing: (() => Promise<void>)[] = [() => producer.disconnect()];
  return {
    channel,
    replyTopic: config.replyTopic,
    deadLetterTopic: config.deadLetterTopic,
    commandTopic,
    async watch(topic) {
      const { seen, close } = await watchTopic(plain, topic);
      closing.push(close);
      return seen;
    },
    async reply(partition, records) {
      const messages = records.map(({ headers, value }) => ({
        partition,
        value: value && Buffer.from(value),
        headers: toHeaders(headers),
      }));
      await producer.send({ topic: config.replyTopic, messages });
    },
    async commit(groupId, topic, partition, offset) {
      const admin = plain.admin();
      await admin.connect();
      await admin.setOffsets({ groupId, topic, partitions: [{ partition, offset: String(offset) }] });
      await admin.disconnect();
    },
    async close() {
      await channel.stop();
      await Promise.all(closing.map((close) => close()));
    },
  };
}

export async function watchTopic(
  plain: Kafka,
  topic: string,
): Promise<{ seen: PlainRecord[]; close: () => Promise<void> }> {
  const seen: PlainRecord[] = [];
  const consumer = plain.consumer({ groupId: uniqueName('watch'), maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      seen.push({
        partition,
        offset: BigInt(message.offset),
        key: message.key?.toString() ?? null,
        value: message.value?.toString() ?? null,
        headers: groupHeaders(listHeaders(message.headers)),
      });
    },
  });
  return { seen, close: () => consumer.disconnect() };
}

function toHeaders(headers: HeaderList): IHeaders {
  const grouped: Record<string, Buffer[]> = {};
  for (const [name, value] of headers) {
    grouped[name] ??= [];
    grouped[name].push(Buffer.from(value));
  }
  return grouped;
}

function listHeaders(headers: IHeaders | undefined): [string, Uint8Array][] {
  return Object.entries(headers ?? {}).flatMap(([name, value]) =>
    [value].flat().map((each): [string, Uint8Array] => [name, typeof each === 'string' ? Buffer.from(each) : each!]),
  );
}

/** A `send()` of kafkajs's producer that the test answers. */
export class Sent {
  readonly topic: string;
  readonly messages: Message[];
  readonly #settle: { resolve: (metadata: RecordMetadata[]) => void; reject: (error: unknown) => void };
  constructor(
    request: ProducerRecord,
    settle: { resolve: (metadata: RecordMetadata[]) => void; reject: (error: unknown) => void },
  ) {
    this.topic = request.topic;
    this.messages = request.messages;
    this.#settle = settle;
  }
  get values(): string[] {
    return this.messages.map((message) => String(message.value));
  }
  /** What kafkajs does when the connection stands. */
  encode(): void {
    void this.messages.map((message) => message.timestamp);
  }
  answer(metadata: Partial<RecordMetadata>[]): void {
    this.encode();
    this.#settle.resolve(metadata as RecordMetadata[]);
  }
  acknowledge(baseOffset: number): void {
    this.answer([
      { topicName: this.topic, partition: this.messages[0]!.partition!, errorCode: 0, baseOffset: String(baseOffset) },
    ]);
  }
  fail(error: Error, options: { encoded: boolean }): void {
    if (options.encoded) this.encode();
    this.#settle.reject(error);
  }
}
