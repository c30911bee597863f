// A topic of a worker is deleted while it serves others too, and made again.
import { type Admin, Kafka, logLevel, type Producer } from 'kafkajs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWithKafka, uniqueName } from '../../test/support/real-parts.ts';
import { toKafkaHeaders } from '../src/kafka-sender.ts';
import { kafkaTransport } from '../src/kafka-transport.ts';
import { type Logger, silentLogger } from '../src/log.ts';
import { createWorker } from '../src/worker.ts';
import { toRecord } from './support/bench.ts';
import { createTopics } from './support/kafka-topics.ts';

const LIMIT = { timeout: 40_000 };

describeWithKafka('a worker of two topics, one of which is deleted', (brokers) => {
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
  const namespace = uniqueName('gone');
  const topicOf = (method: string) => `${namespace}.shop.v1.Shop.${method}`;
  const handled = new Set<string>();
  const told: string[] = [];
  let admin: Admin;
  let producer: Producer;
  let stop: () => Promise<void>;

  beforeAll(async () => {
    admin = kafka.admin();
    producer = kafka.producer({ allowAutoTopicCreation: false });
    await Promise.all([admin.connect(), producer.connect()]);
    await createTopics(admin, [
      { topic: topicOf('Buy'), numPartitions: 2 },
      { topic: topicOf('Sell'), numPartitions: 2 },
    ]);
    const tell: Logger['warn'] = (fields, message) => {
      const { topics } = fields as { topics?: string[] };
      if (topics) told.push(`${message.split(':')[0]} ${topics}`);
    };
    const logger = { ...silentLogger, warn: tell, info: tell };
    const transport = kafkaTransport({ brokers, logger, maxWaitMs: 100, sessionTimeoutMs: 6_000 });
    const worker = createWorker({ transport, group: 'shop', namespace, controlTopic: false, logger: silentLogger });
    for (const method of ['Buy', 'Sell']) {
      worker.handle(`shop.v1.Shop/${method}`, (_, { operationId }) => {
        handled.add(operationId ?? '');
        return {};
      });
    }
    stop = () => worker.stop({ timeoutMs: 1_000 }).then(() => transport.close());
    await worker.start();
  });

  afterAll(async () => {
    await stop?.();
    await producer?.disconnect();
    await admin?.disconnect();
  });

  async function send(method: string, id: string, by: Producer = producer): Promise<void> {
    const { value, headers } = toRecord({ id: `${method} ${id}`, topic: topicOf(method) });
    const message = { value: value && Buffer.from(value), headers: toKafkaHeaders(headers) };
    await by.send({ topic: topicOf(method), messages: [0, 1].map((partition) => ({ ...message, partition })) });
  }

  test('goes on with the other, says which is gone, and takes it up again when it is there', async () => {
    await send('Buy', '1');
    await send('Sell', '1');
    await expect.poll(() => [...handled].sort(), LIMIT).toEqual(['Buy 1', 'Sell 1']);
    await admin.deleteTopics({ topics: [topicOf('Sell')] });
    // One client that has used the deleted topic could not send to the other either.
    const fresh = kafka.producer({ allowAutoTopicCreation: false });
    await fresh.connect();
    await expect.poll(() => told, LIMIT).toEqual([`topics are gone or barred ${topicOf('Sell')}`]);
    await send('Buy', '2', fresh);
    await expect.poll(() => handled.has('Buy 2'), LIMIT).toBe(true);
    const again = kafka.admin();
    await again.connect();
    await createTopics(again, [{ topic: topicOf('Sell'), numPartitions: 3 }]);
    await send('Sell', '3', fresh);
    await expect.poll(() => handled.has('Sell 3'), LIMIT).toBe(true);
    expect(told.at(-1)).toBe(`topics are there again ${topicOf('Sell')}`);
    await send('Buy', '4', fresh);
    await expect.poll(() => handled.has('Buy 4'), LIMIT).toBe(true);
    await Promise.all([fresh.disconnect(), again.disconnect()]);
  }, 120_000);
});
