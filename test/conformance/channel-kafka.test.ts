// What only the real Kafka can show of the adapter.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Channel } from '../../src/channel/channel.ts';
import { createSealCommand } from '../../src/channel/envelope.ts';
import { createKafkaChannel } from '../../src/channel/kafka.ts';
import type { PublishError } from '../../src/operations/channel-ports.ts';
import { formatCorrelation } from '../../src/operations/correlation.ts';
import type { ReplyBatch } from '../../src/replies/ports.ts';
import { IdSource } from '../../src/runtime/ids.ts';
import { type KafkaBroker, startKafkaBroker } from '../support/kafka-broker.ts';
import { makeKafkaConfig, makePlainKafka, makeTools, prepareChannel, watchTopic } from '../support/kafka-channel.ts';
import { describeWithKafka } from '../support/real-parts.ts';

const encoder = new TextEncoder();
const ids = new IdSource(() => Date.now());
const timeout = 15_000;
const soonMs = () => performance.now() + 10_000;
const record = (topic: string, key: string) => ({
  topic,
  key: encoder.encode(key),
  value: encoder.encode(key),
  headers: [],
});
const correlationHeaders = () => ({
  kafka_correlationId: formatCorrelation({ operationId: ids.next(), homePartition: 0, unrecordedBy: null }),
});
const textsOf = (batches: readonly ReplyBatch[]) =>
  batches.flatMap((batch) => batch.replies.map((reply) => Buffer.from(reply.value ?? []).toString()));

describeWithKafka('the Kafka channel', (brokers) => {
  const config = makeKafkaConfig(brokers);
  const commandTopic = `${config.namespace}commands`;
  const plain = makePlainKafka(brokers);
  const admin = plain.admin();
  const closing: (() => Promise<void>)[] = [];
  let channel: Channel;
  beforeAll(async () => {
    await admin.connect();
    channel = await createKafkaChannel(config, makeTools());
    await prepareChannel(channel, [commandTopic]);
  });
  afterAll(async () => {
    await channel.stop();
    for (const close of closing) await close();
    await admin.disconnect();
  });

  it('sends a command record with exactly the headers of the wire', async () => {
    const { seen, close } = await watchTopic(plain, commandTopic);
    closing.push(close);
    const seal = createSealCommand({ source: 'sluice://test', replyTopic: config.replyTopic });
    const operationId = ids.next();
    const sealed = seal({
      operationId,
      type: 'orders.v1.Orders.CreateOrder',
      topic: commandTopic,
      key: encoder.encode('c1'),
      value: encoder.encode('{"customerId":"c1"}'),
      contentType: 'application/json',
      reply: { correlationId: 'corr', partition: 2, dialect: 'both' },
      createdAtMs: Date.UTC(2026, 10, 21, 12),
      deadlineMs: Date.UTC(2026, 10, 21, 12, 1),
      attempt: 1,
      hops: 1,
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      tracestate: 'v=1',
      principal: 'alice',
      extraHeaders: [
        ['__TypeId__', 'CreateOrder'],
        ['authorization', 'secret'],
      ],
    });
    await channel.publisher.publish(sealed, soonMs());
    await expect.poll(() => seen.find((each) => each.key === 'c1')?.value, { timeout }).toBe('{"customerId":"c1"}');
    expect(seen.find((each) => each.key === 'c1')?.headers).toEqual({
      ce_specversion: ['1.0'],
      ce_id: [operationId],
      ce_source: ['sluice://test'],
      ce_type: ['orders.v1.Orders.CreateOrder'],
      ce_time: ['2026-11-21T12:00:00.000Z'],
      ce_expirytime: ['2026-11-21T12:01:00.000Z'],
      'content-type': ['application/json'],
      kafka_correlationId: ['corr'],
      kafka_replyTopic: [config.replyTopic],
      kafka_replyPartition: ['2', '\u0000\u0000\u0000\u0002'],
      traceparent: ['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
      tracestate: ['v=1'],
      'sluice-attempt': ['1'],
      'sluice-hops': ['1'],
      'sluice-principal': ['alice'],
      __TypeId__: ['CreateOrder'],
    });
  });

  it('creates the reply topic as it must be', async () => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [config.replyTopic] });
    expect(topics[0]?.partitions).toHaveLength(4);
    const { resources } = await admin.describeConfigs({
      resources: [{ type: 2, name: config.replyTopic, configNames: ['cleanup.policy', 'retention.ms'] }],
      includeSynonyms: false,
    });
    expect(resources[0]?.configEntries.map((entry) => entry.configValue).sort()).toEqual(['604800000', 'delete']);
  });

  it('passes the commit markers and aborted replies of a transactional worker', async () => {
    const batches: ReplyBatch[] = [];
    await channel.replies.start((batch) => void batches.push(batch));
    channel.replies.adopt(0, 0n);
    const producer = plain.producer({ transactionalId: config.namespace, maxInFlightRequests: 1, idempotent: true });
    await producer.connect();
    closing.push(() => producer.disconnect());
    for (const outcome of ['commit', 'abort', 'abort', 'commit', 'abort'] as const) {
      const transaction = await producer.transaction();
      const messages = [{ partition: 0, value: outcome, headers: correlationHeaders() }];
      await transaction.send({ topic: config.replyTopic, messages });
      await transaction[outcome]();
    }
    // A marker is written a moment after the worker's call has returned.
    await expect.poll(async () => (await channel.replies.bounds([0])).get(0)?.end, { timeout }).toBe(10n);
    await expect.poll(() => batches.at(-1)?.nextOffset, { timeout }).toBe(10n);
    expect(textsOf(batches)).toEqual(['commit', 'commit']);
  });

  it('refuses a reply topic that would lose replies, and names what is missing', async () => {
    const compacted = makeKafkaConfig(brokers);
    await admin.createTopics({
      topics: [{ topic: compacted.replyTopic, configEntries: [{ name: 'cleanup.policy', value: 'compact' }] }],
    });
    const first = await createKafkaChannel(compacted, makeTools());
    await expect(first.ensureTopics([])).rejects.toThrow(/cleanup.policy is compact/);
    await first.stop();
    const second = await createKafkaChannel(makeKafkaConfig(brokers, { createTopics: false }), makeTools());
    await expect(second.ensureTopics([])).rejects.toThrow(/partitions 4.*is missing, and create_topics is off/);
    await second.stop();
  });

  it('learns at start what a record of a command topic may weigh', async () => {
    const narrow = `${config.namespace}narrow`;
    await admin.createTopics({
      topics: [{ topic: narrow, configEntries: [{ name: 'max.message.bytes', value: '2000' }] }],
    });
    const other = await createKafkaChannel({ ...config, bootId: 'other' }, makeTools());
    await other.ensureTopics([narrow]);
    expect(() => other.publisher.assertFits(record(narrow, 'x'.repeat(1200)))).toThrow(/takes at most 2000/);
    expect(() => other.publisher.assertFits(record(narrow, 'x'.repeat(200)))).not.toThrow();
    await other.stop();
  });
});

it('without any Kafka the channel starts, says so, refuses at once, and stops', async () => {
  const channel = await createKafkaChannel(
    { ...makeKafkaConfig(['127.0.0.1:1']), connectTimeoutMs: 500, requestTimeoutMs: 500 },
    makeTools(),
  );
  await channel.ensureTopics(['commands']);
  await channel.replies.start(() => undefined);
  expect(channel.degraded()).toMatch(/Kafka cannot be reached/);
  const publish = () =>
    channel.publisher
      .publish(record('commands', 'x'), performance.now() + 60_000)
      .catch((error: PublishError) => error);
  expect(await publish()).toMatchObject({ problem: 'unreachable', certainlyNotSent: true, definite: false });
  await expect.poll(() => channel.replies.trouble(), { timeout }).toBeNull();
  await channel.stop();
});

describeWithKafka('the Kafka channel over a broker that dies', () => {
  let broker: KafkaBroker;
  let channel: Channel;
  const batches: ReplyBatch[] = [];
  let config: ReturnType<typeof makeKafkaConfig>;
  beforeAll(async () => {
    broker = await startKafkaBroker();
    config = makeKafkaConfig(broker.brokers, { connectTimeoutMs: 1000, requestTimeoutMs: 3000 });
    channel = await createKafkaChannel(config, makeTools());
    await prepareChannel(channel, [`${config.namespace}commands`]);
    await channel.replies.start((batch) => void batches.push(batch));
    channel.replies.adopt(0, 0n);
  });
  afterAll(async () => {
    await channel.stop();
    await broker.stop();
  });
  const topic = () => `${config.namespace}commands`;
  const reply = async (text: string) => {
    const producer = makePlainKafka(broker.brokers).producer();
    await producer.connect();
    const messages = [{ partition: 0, value: text, headers: correlationHeaders() }];
    await producer.send({ topic: config.replyTopic, messages });
    await producer.disconnect();
  };

  it('tells the truth meanwhile, and goes on by itself where it stood', async () => {
    await reply('before');
    await expect.poll(() => textsOf(batches), { timeout }).toEqual(['before']);
    await channel.publisher.publish(record(topic(), 'a'), soonMs());
    await broker.kill();
    const error = await channel.publisher
      .publish(record(topic(), 'a'), performance.now() + 60_000)
      .catch((reason: PublishError) => reason);
    expect(error).toMatchObject({ name: 'PublishError', definite: false });
    await expect.poll(() => channel.degraded(), { timeout }).not.toBeNull();
    const refused = await channel.publisher
      .publish(record(topic(), 'a'), performance.now() + 60_000)
      .catch((reason: PublishError) => reason);
    expect(refused).toMatchObject({ certainlyNotSent: true });
    await broker.restart();
    await reply('after');
    await expect.poll(() => textsOf(batches), { timeout: 40_000 }).toEqual(['before', 'after']);
    await expect
      .poll(() => channel.publisher.publish(record(topic(), 'a'), soonMs()).catch(() => null), { timeout: 20_000 })
      .toHaveProperty('offset');
    await expect.poll(() => channel.degraded(), { timeout }).toBeNull();
  }, 90_000);
});
