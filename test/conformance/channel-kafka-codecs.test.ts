// What workers in Java write and kafkajs by itself cannot read: every codec, and transactions.
import { afterEach, expect, it } from 'vitest';
import type { Channel } from '../../src/channel/channel.ts';
import { createKafkaChannel } from '../../src/channel/kafka.ts';
import { formatCorrelation } from '../../src/operations/correlation.ts';
import type { ReplyBatch } from '../../src/replies/ports.ts';
import { produceWithJava, whyNoJavaCompiler } from '../kafka/java-producer.ts';
import { makeKafkaConfig, makePlainKafka, makeTools, prepareChannel } from '../support/kafka-channel.ts';
import { newOperationId } from '../support/operations.ts';
import { describeWithKafka } from '../support/real-parts.ts';

const timeout = 30_000;
const correlationId = formatCorrelation({ operationId: newOperationId(), homePartition: 0, unrecordedBy: null });
const firstWords = (batches: readonly ReplyBatch[]) =>
  batches.flatMap((batch) => batch.replies.map((reply) => Buffer.from(reply.value!).toString().split(' ')[0]!));

describeWithKafka('replies as workers in Java write them', (brokers) => {
  const noJava = whyNoJavaCompiler();
  const skipped = { skip: noJava !== null, timeout: 180_000, ...(noJava !== null && { meta: { notRun: noJava } }) };
  let channel: Channel | null = null;
  const open = async (config: ReturnType<typeof makeKafkaConfig>) => {
    channel = await createKafkaChannel(config, makeTools());
    await prepareChannel(channel, []);
    const batches: ReplyBatch[] = [];
    await channel.replies.start((batch) => void batches.push(batch));
    channel.replies.adopt(0, 0n);
    return { channel, batches };
  };
  afterEach(() => channel?.stop());

  const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

  it('are read in every codec of Kafka', skipped, async () => {
    const config = makeKafkaConfig(brokers);
    const { channel, batches } = await open(config);
    const steps = codecs.map((codec) => `${codec}:${codec}`);
    await produceWithJava({ brokers, topic: config.replyTopic, partition: 0, correlationId, steps });
    await expect.poll(() => firstWords(batches).length, { timeout }).toBe(100);
    const expected = codecs.flatMap((codec) => Array.from({ length: 20 }, (_, record) => `${codec}-${record}`));
    expect(firstWords(batches)).toEqual(expected);
    expect([channel.replies.trouble(), channel.degraded()]).toEqual([null, null]);
  });

  it('are read past the markers and aborted records of transactions', skipped, async () => {
    const config = makeKafkaConfig(brokers);
    const { channel, batches } = await open(config);
    const steps = ['commit:a', 'abort:b', 'abort:c', 'commit:d', 'abort:e'];
    await produceWithJava({ brokers, topic: config.replyTopic, partition: 0, correlationId, steps });
    await expect.poll(async () => (await channel.replies.bounds([0])).get(0)?.end, { timeout }).toBe(15n);
    await expect.poll(() => batches.at(-1)?.nextOffset, { timeout }).toBe(15n);
    expect(firstWords(batches)).toEqual(['a-0', 'a-1', 'd-0', 'd-1']);
  });

  it.each(['gzip', 'snappy', 'lz4', 'zstd'])('are read from a topic whose compression.type is %s', async (codec) => {
    const config = makeKafkaConfig(brokers);
    const plain = makePlainKafka(brokers);
    const admin = plain.admin();
    const configEntries = [
      { name: 'compression.type', value: codec },
      { name: 'retention.ms', value: '604800000' },
    ];
    await admin.connect();
    await admin.createTopics({
      topics: [{ topic: config.replyTopic, numPartitions: 4, configEntries }],
      waitForLeaders: true,
    });
    await admin.disconnect();
    const { batches } = await open(config);
    const producer = plain.producer();
    await producer.connect();
    const messages = ['a', 'b', 'c'].map((text) => ({
      partition: 0,
      value: `${text} ${'again and '.repeat(200)}`,
      headers: { kafka_correlationId: correlationId },
    }));
    await producer.send({ topic: config.replyTopic, messages });
    await producer.disconnect();
    await expect.poll(() => firstWords(batches), { timeout }).toEqual(['a', 'b', 'c']);
  });
});
