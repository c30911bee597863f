// A real Kafka whose topics change while the channel runs, and one that hangs or is away at the start.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Channel } from '../../src/channel/channel.ts';
import { createKafkaChannel, type KafkaChannelConfig } from '../../src/channel/kafka.ts';
import type { PublishError } from '../../src/operations/channel-ports.ts';
import { formatCorrelation } from '../../src/operations/correlation.ts';
import type { ReplyBatch } from '../../src/replies/ports.ts';
import { type KafkaBroker, startKafkaBroker } from '../support/kafka-broker.ts';
import { makeKafkaConfig, makePlainKafka, makeTools, prepareChannel } from '../support/kafka-channel.ts';
import { newOperationId } from '../support/operations.ts';
import { describeWithKafka } from '../support/real-parts.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const timeout = 40_000;
const soonMs = () => performance.now() + 10_000;
const record = (topic: string, value: string) => ({ topic, key: bytes(value), value: bytes(value), headers: [] });
const textsOf = (batches: readonly ReplyBatch[]) =>
  batches.flatMap((batch) => batch.replies.map((reply) => Buffer.from(reply.value!).toString()));

/** Replies as a worker sends them. */
async function reply(brokers: readonly string[], topic: string, partition: number, texts: string[]): Promise<void> {
  const producer = makePlainKafka(brokers).producer({ createPartitioner: () => () => partition });
  await producer.connect();
  const correlation = { operationId: newOperationId(), homePartition: 0, unrecordedBy: null };
  const headers = { kafka_correlationId: formatCorrelation(correlation) };
  await producer.send({ topic, messages: texts.map((value) => ({ value, headers })) });
  await producer.disconnect();
}

describeWithKafka('the Kafka channel over topics that change', (brokers) => {
  const admin = makePlainKafka(brokers).admin();
  let channel: Channel;
  let batches: ReplyBatch[];
  let config: KafkaChannelConfig;
  const topicOf = (name: string) => `${config.namespace}${name}`;
  const open = async (change: Partial<KafkaChannelConfig>, commandTopics: string[]) => {
    config = { ...makeKafkaConfig(brokers), ...change };
    channel = await createKafkaChannel(config, makeTools());
    await prepareChannel(channel, commandTopics.map(topicOf));
    batches = [];
    await channel.replies.start((batch) => void batches.push(batch));
  };
  beforeAll(() => admin.connect());
  afterEach(() => channel.stop());
  afterAll(() => admin.disconnect());

  it('goes on publishing to the others when a topic is deleted under load, and gives that one up for good', async () => {
    const { publish } = makeKafkaConfig(brokers);
    await open({ publish: { ...publish, confirmMs: 4000 } }, ['kept', 'gone', 'late']);
    const counts = { kept: 0, keptFailed: 0, gone: 0 };
    const refusals: PublishError[] = [];
    let isLoaded = true;
    const send = (name: 'kept' | 'gone', number: number) =>
      channel.publisher.publish(record(topicOf(name), `${name}-${number}`), soonMs()).then(() => {
        counts[name] += 1;
      });
    const load = async () => {
      const goneSends: Promise<void>[] = [];
      for (let number = 0; isLoaded; number += 1) {
        goneSends.push(send('gone', number).catch((error) => void refusals.push(error)));
        // The acks of the one set the pace of both.
        await send('kept', number).catch(() => {
          counts.keptFailed += 1;
        });
      }
      await Promise.all(goneSends);
    };
    const loading = load();
    await expect.poll(() => Math.min(counts.kept, counts.gone), { timeout }).toBeGreaterThan(20);
    await admin.deleteTopics({ topics: [topicOf('gone')] });
    await expect.poll(() => refusals.length, { timeout }).toBeGreaterThan(0);
    // A topic that this producer has not used yet makes kafkajs look up all those that it has.
    const late = () => channel.publisher.publish(record(topicOf('late'), 'late'), soonMs());
    await expect(late()).resolves.toHaveProperty('offset');
    const before = counts.kept;
    const isGivenUp = () => refusals.some((error) => error.definite && error.certainlyNotSent);
    await expect.poll(isGivenUp, { timeout }).toBe(true);
    await expect.poll(() => counts.kept - before, { timeout }).toBeGreaterThan(20);
    isLoaded = false;
    await loading;
    expect(counts.keptFailed).toBe(0);
    expect(new Set(refusals.slice(1).map((error) => error.problem))).toEqual(new Set(['unknown_topic']));
    // Of what was under way when the topic went it is unknown; of what comes now it is not.
    const now = await send('gone', 0).catch((error: PublishError) => error);
    expect(now).toMatchObject({ problem: 'unknown_topic', certainlyNotSent: true, definite: true });
    const offsets = await admin.fetchTopicOffsets(topicOf('kept'));
    expect(offsets.reduce((sum, { high }) => sum + Number(high), 0)).toBe(counts.kept);
  }, 120_000);

  it('says that a command topic is gone, also when commands for it have stopped, until one is taken', async () => {
    await open({}, ['kept', 'gone']);
    await channel.publisher.publish(record(topicOf('gone'), 'x'), soonMs());
    await admin.deleteTopics({ topics: [topicOf('gone')] });
    const send = () => channel.publisher.publish(record(topicOf('gone'), 'x'), soonMs());
    const isRefused = () => send().catch((error: PublishError) => error.problem);
    await expect.poll(isRefused, { timeout }).toBe('unknown_topic');
    const sentence = `there is no topic ${topicOf('gone')}: its commands are unavailable`;
    // What the queue of its partition met is told of first, and forgotten before this is.
    await expect.poll(() => channel.degraded(), { timeout: 60_000 }).toBe(sentence);
    await admin.createTopics({ topics: [{ topic: topicOf('gone') }], waitForLeaders: true });
    await expect.poll(() => send().catch(() => null), { timeout }).toHaveProperty('offset');
    expect(channel.degraded()).toBeNull();
  }, 120_000);

  it('says that a command topic is missing where it may not create it, until it is there', async () => {
    const given = makeKafkaConfig(brokers);
    const configEntries = [{ name: 'retention.ms', value: '604800000' }];
    const own = [given.replyTopic, given.deadLetterTopic, given.controlTopic, given.eventsTopic!];
    await admin.createTopics({ topics: own.map((topic) => ({ topic, configEntries })), waitForLeaders: true });
    config = { ...given, createTopics: false };
    channel = await createKafkaChannel(config, makeTools());
    await channel.ensureTopics([topicOf('commands')]);
    const sentence = `there is no topic ${topicOf('commands')}: its commands are unavailable`;
    await expect.poll(() => channel.degraded(), { timeout }).toBe(sentence);
    await admin.createTopics({ topics: [{ topic: topicOf('commands') }], waitForLeaders: true });
    await expect.poll(() => channel.degraded(), { timeout }).toBeNull();
  }, 120_000);

  it('reads and writes partitions that were added to a topic while it runs', async () => {
    await open({}, ['commands']);
    const { replies, sender, publisher } = channel;
    await replies.bounds([0, 1, 2, 3]);
    await publisher.publish(record(topicOf('commands'), 'x'), soonMs());
    await expect.poll(() => replies.trouble(), { timeout }).toBeNull();
    const topicPartitions = [
      { topic: config.replyTopic, count: 6 },
      { topic: topicOf('commands'), count: 5 },
    ];
    await admin.createPartitions({ topicPartitions });
    await expect.poll(() => replies.partitions(), { timeout }).toEqual([0, 1, 2, 3, 4, 5]);
    await expect
      .poll(() => replies.bounds([5]).catch(() => null), { timeout })
      .toEqual(new Map([[5, { start: 0n, end: 0n }]]));
    replies.adopt(5, 0n);
    const own = (topic: string, partition: number) => ({
      topic,
      partition,
      key: null,
      value: bytes('own'),
      headers: [],
    });
    const sent = () => sender.send(own(topicOf('commands'), 4), soonMs()).catch(() => null);
    await expect.poll(sent, { timeout }).toMatchObject({ partition: 4 });
    await reply(brokers, config.replyTopic, 5, ['a', 'b']);
    await expect.poll(() => textsOf(batches), { timeout }).toEqual(['a', 'b']);
    expect(channel.degraded()).toBeNull();
  }, 120_000);

  it('goes on from the start of the log where a position is out of its range, and loses nothing that is kept', async () => {
    await open({}, []);
    const texts = Array.from({ length: 10 }, (_, index) => String(index));
    for (const partition of [0, 1]) await reply(brokers, config.replyTopic, partition, texts);
    await admin.fetchTopicOffsets(config.replyTopic); // kafkajs looks for the leaders in what it remembers.
    await admin.deleteTopicRecords({ topic: config.replyTopic, partitions: [{ partition: 0, offset: '4' }] });
    channel.replies.adopt(0, 0n);
    channel.replies.adopt(1, 1000n);
    const read = (partition: number) => textsOf(batches.filter((batch) => batch.partition === partition));
    await expect.poll(() => [read(0), read(1)], { timeout }).toEqual([texts.slice(4), texts]);
    await reply(brokers, config.replyTopic, 0, ['next']);
    await expect.poll(() => read(0).at(-1), { timeout }).toBe('next');
    expect((await channel.replies.bounds([0])).get(0)).toEqual({ start: 4n, end: 11n });
  }, 120_000);

  it('works without a topic of its own that it may not create, says so, and takes it up when it is there', async () => {
    const given = makeKafkaConfig(brokers);
    const topics = [given.replyTopic, given.controlTopic, given.eventsTopic!].map((topic) => ({
      topic,
      configEntries: [{ name: 'retention.ms', value: '604800000' }],
    }));
    await admin.createTopics({ topics, waitForLeaders: true });
    config = { ...given, createTopics: false };
    channel = await createKafkaChannel(config, makeTools());
    await channel.ensureTopics([]);
    await expect.poll(() => channel.degraded(), { timeout }).toMatch(/dead-letters .*is missing.*dead letters wait/);
    const letter = { topic: config.deadLetterTopic, partition: null, key: null, value: null, headers: [] };
    const refusal = await channel.sender.send(letter, soonMs()).catch((error: PublishError) => error);
    expect(refusal).toMatchObject({ problem: 'unknown_topic', certainlyNotSent: true });
    await admin.createTopics({ topics: [{ topic: config.deadLetterTopic }], waitForLeaders: true });
    await expect.poll(() => channel.degraded(), { timeout }).toBeNull();
    await expect(channel.sender.send(letter, soonMs())).resolves.toHaveProperty('offset');
  }, 120_000);
});

describeWithKafka('the Kafka channel over a broker of its own', () => {
  let broker: KafkaBroker;
  let config: KafkaChannelConfig;
  beforeAll(async () => {
    broker = await startKafkaBroker();
    config = makeKafkaConfig(broker.brokers, {
      connectTimeoutMs: 1000,
      requestTimeoutMs: 3000,
      sessionTimeoutMs: 1500,
    });
  });
  afterAll(() => broker.stop());

  describe('that hangs', () => {
    let channel: Channel;
    const batches: ReplyBatch[] = [];
    beforeAll(async () => {
      channel = await createKafkaChannel(config, makeTools());
      await prepareChannel(channel, []);
      await channel.replies.start((batch) => void batches.push(batch));
      channel.replies.adopt(0, 0n);
    });
    afterAll(() => channel.stop());

    it('is degraded and not in trouble of its own, for as long as it lasts, and reads on after it', async () => {
      await reply(broker.brokers, config.replyTopic, 0, ['before']);
      await expect.poll(() => textsOf(batches), { timeout }).toEqual(['before']);
      const troubles = new Set<string | null>();
      broker.pause();
      try {
        await expect
          .poll(
            () => {
              troubles.add(channel.replies.trouble());
              return channel.degraded();
            },
            { timeout },
          )
          .toMatch(/no fetch|does not answer/);
        const endMs = performance.now() + 4 * config.sessionTimeoutMs;
        await expect
          .poll(
            () => {
              troubles.add(channel.replies.trouble());
              return performance.now();
            },
            { timeout },
          )
          .toBeGreaterThan(endMs);
      } finally {
        broker.resume();
      }
      await reply(broker.brokers, config.replyTopic, 0, ['after']);
      await expect.poll(() => textsOf(batches), { timeout }).toEqual(['before', 'after']);
      await expect.poll(() => [channel.degraded(), channel.replies.trouble()], { timeout }).toEqual([null, null]);
      expect(troubles).toEqual(new Set([null]));
    }, 180_000);
  });

  it('that is away at the start gives up nothing: all begins when it comes', async () => {
    await broker.kill();
    const away = {
      ...makeKafkaConfig(broker.brokers),
      connectTimeoutMs: 500,
      requestTimeoutMs: 3000,
      sessionTimeoutMs: 3000,
    };
    const channel = await createKafkaChannel(away, makeTools());
    const batches: ReplyBatch[] = [];
    await channel.ensureTopics([]);
    await channel.replies.start((batch) => void batches.push(batch));
    channel.replies.adopt(0, 0n);
    await expect(channel.replies.partitions()).rejects.toThrow();
    await expect(channel.replies.bounds([0])).rejects.toThrow();
    await expect(channel.workers.committed('group', 'topic')).rejects.toThrow();
    await broker.restart();
    await expect.poll(() => channel.replies.partitions().catch(() => []), { timeout }).toHaveLength(4);
    await expect.poll(() => channel.replies.bounds([0]).catch(() => new Map()), { timeout }).toHaveProperty('size', 1);
    await expect.poll(() => [channel.degraded(), channel.replies.trouble()], { timeout }).toEqual([null, null]);
    await reply(broker.brokers, away.replyTopic, 0, ['first']);
    await expect.poll(() => textsOf(batches), { timeout }).toEqual(['first']);
    await expect(channel.workers.committed('group', 'topic')).resolves.toEqual(new Map());
    await channel.stop();
  }, 180_000);
});
