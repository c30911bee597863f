// Workers of one group whose methods differ, as they do while a release that adds or renames one is rolled out.
import { type Admin, type Consumer, Kafka, logLevel, type Producer } from 'kafkajs';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { describeWithKafka, uniqueName } from '../../test/support/real-parts.ts';
import { toKafkaHeaders } from '../src/kafka-sender.ts';
import { kafkaTransport } from '../src/kafka-transport.ts';
import { silentLogger } from '../src/log.ts';
import { createWorker } from '../src/worker.ts';
import { toRecord } from './support/bench.ts';
import { createTopics } from './support/kafka-topics.ts';

const PARTITIONS = 2;
const LIMIT = { timeout: 20_000 };

describeWithKafka('workers of one group with different methods', (brokers) => {
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
  const namespace = uniqueName('groups');
  const topicOf = (method: string) => `${namespace}.shop.v1.Shop.${method}`;
  /** `worker method id`, once a command. */
  const handled = new Set<string>();
  let stops: (() => Promise<unknown>)[] = [];
  let admin: Admin;
  let producer: Producer;

  beforeAll(async () => {
    admin = kafka.admin();
    producer = kafka.producer({ allowAutoTopicCreation: false });
    await Promise.all([admin.connect(), producer.connect()]);
    await createTopics(
      admin,
      ['Buy', 'Sell'].map((method) => ({ topic: topicOf(method), numPartitions: PARTITIONS })),
    );
  });

  afterEach(async () => {
    await Promise.all(stops.map((stop) => stop()));
    stops = [];
  });

  afterAll(async () => {
    await producer?.disconnect();
    await admin?.disconnect();
  });

  async function startWorker(group: string, name: string, ...methods: string[]): Promise<void> {
    const transport = kafkaTransport({ brokers, logger: silentLogger, maxWaitMs: 100, sessionTimeoutMs: 6_000 });
    const worker = createWorker({ transport, group, namespace, controlTopic: false, logger: silentLogger });
    for (const method of methods) {
      worker.handle(`shop.v1.Shop/${method}`, (_, { operationId }) => {
        handled.add(`${name} ${method} ${operationId}`);
        return {};
      });
    }
    stops.push(async () => {
      await worker.stop({ timeoutMs: 1_000 });
      await transport.close();
    });
    await worker.start();
  }

  /** As a worker of an SDK that has kafkajs's built-in assigner and nothing else. */
  async function startOldWorker(group: string, method: string): Promise<Consumer> {
    const consumer = kafka.consumer({
      groupId: `${namespace}.${group}`,
      sessionTimeout: 6_000,
      heartbeatInterval: 500,
    });
    stops.push(() => consumer.disconnect());
    await consumer.connect();
    await consumer.subscribe({ topics: [topicOf(method)], fromBeginning: true });
    const joined = new Promise((resolve) => consumer.on('consumer.group_join', resolve));
    await consumer.run({
      eachMessage: async ({ message }) => void handled.add(`old ${method} ${message.headers?.['ce_id']}`),
    });
    await joined;
    return consumer;
  }

  /** One command to each partition of the method's topic. */
  async function send(method: string, id: string): Promise<void> {
    const topic = topicOf(method);
    const messages = Array.from({ length: PARTITIONS }, (_, partition) => {
      const { headers } = toRecord({ id: `${id}-${partition}`, type: `shop.v1.Shop.${method}`, oneWay: true });
      return { partition, value: Buffer.from('{}'), headers: toKafkaHeaders(headers) };
    });
    await producer.send({ topic, messages });
  }

  const seenOf = (id: string) => [...handled].filter((each) => each.includes(` ${id}-`)).toSorted();
  const describeGroup = async (group: string) => (await admin.describeGroups([`${namespace}.${group}`])).groups[0];

  // The first to come leads.
  test.each([
    ['Buy', 'Sell'],
    ['Sell', 'Buy'],
  ])(
    'serve the topics of both, where the worker of %s leads',
    async (first, second) => {
      const group = `led-by-${first}`;
      await startWorker(group, 'first', first);
      await startWorker(group, 'second', second);
      expect((await describeGroup(group))?.members).toHaveLength(2);
      for (const method of [first, second]) await send(method, `${group}-${method}`);
      await expect
        .poll(() => seenOf(`${group}-${first}`), LIMIT)
        .toEqual([0, 1].map((n) => `first ${first} ${group}-${first}-${n}`));
      await expect
        .poll(() => seenOf(`${group}-${second}`), LIMIT)
        .toEqual([0, 1].map((n) => `second ${second} ${group}-${second}-${n}`));
    },
    60_000,
  );

  test('take in a worker of the built-in assigner, give it what only it serves, and go on alone when it is gone', async () => {
    const group = 'upgrade';
    await startWorker(group, 'new', 'Sell');
    const old = await startOldWorker(group, 'Buy');
    await send('Buy', 'both-buy');
    await send('Sell', 'both-sell');
    await expect.poll(() => seenOf('both-buy'), LIMIT).toEqual(['old Buy both-buy-0', 'old Buy both-buy-1']);
    await expect.poll(() => seenOf('both-sell'), LIMIT).toEqual(['new Sell both-sell-0', 'new Sell both-sell-1']);
    expect((await describeGroup(group))?.protocol).toBe('RoundRobinAssigner');

    await old.disconnect();
    await startWorker(group, 'newer', 'Buy');
    await send('Buy', 'after');
    await expect.poll(() => seenOf('after'), LIMIT).toEqual(['newer Buy after-0', 'newer Buy after-1']);
    expect((await describeGroup(group))?.protocol).toBe('sluice-share');
  }, 60_000);
});
