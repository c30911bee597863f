import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { query } from '../support/postgres-server.ts';
import { createTestDatabase, describeWithKafka, describeWithPostgres, uniqueName } from '../support/real-parts.ts';

describeWithKafka('the real Kafka', (brokers) => {
  const topic = uniqueName('round-trip');
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  const producer = kafka.producer();
  const consumer = kafka.consumer({ groupId: topic, maxWaitTimeInMs: 250 });
  beforeAll(async () => {
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
    await producer.connect();
    await consumer.connect();
  });
  afterAll(async () => {
    await consumer.disconnect();
    await producer.disconnect();
    await admin.deleteTopics({ topics: [topic] });
    await admin.disconnect();
  });

  it('gives back what was produced', async () => {
    const seen: string[] = [];
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({ eachMessage: async ({ message }) => void seen.push(String(message.value)) });
    await producer.send({ topic, messages: [{ value: 'there and back' }] });
    await expect.poll(() => seen, { timeout: 15_000 }).toEqual(['there and back']);
  });

  it('creates no topic that nobody asked for', async () => {
    const unknown = uniqueName('unknown');
    const once = new Kafka({ brokers, logLevel: logLevel.NOTHING, retry: { retries: 0 } }).producer();
    await once.connect();
    await expect(once.send({ topic: unknown, messages: [{ value: 'x' }] })).rejects.toThrow();
    await once.disconnect();
    expect(await admin.listTopics()).not.toContain(unknown);
  });
});

describeWithPostgres('the real PostgreSQL', () => {
  it('gives each caller an empty database of its own', async () => {
    const [one, other] = [await createTestDatabase(), await createTestDatabase()];
    await query(one, 'create table mine as select 1 as number');
    expect((await query(one, 'select number from mine')).rows).toEqual([{ number: 1 }]);
    await expect(query(other, 'select number from mine')).rejects.toThrow(/does not exist/);
  });
});
