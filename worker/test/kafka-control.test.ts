import { type Admin, Kafka, logLevel, type Producer } from 'kafkajs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWithKafka, uniqueName } from '../../test/support/real-parts.ts';
import { readTextHeader } from '../src/headers.ts';
import { toKafkaHeaders } from '../src/kafka-sender.ts';
import { kafkaTransport } from '../src/kafka-transport.ts';
import { silentLogger } from '../src/log.ts';
import type { TopicWatch, WorkerTransport } from '../src/transport.ts';
import { toControlRecord } from './support/bench.ts';
import { createTopics } from './support/kafka-topics.ts';

const PARTITIONS = 3;

describeWithKafka('the control topic on Kafka', (brokers) => {
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
  const open: WorkerTransport[] = [];
  let admin: Admin;
  let producer: Producer;

  beforeAll(async () => {
    admin = kafka.admin();
    producer = kafka.producer({ allowAutoTopicCreation: false });
    await Promise.all([admin.connect(), producer.connect()]);
  });

  afterAll(async () => {
    await Promise.all(open.map((transport) => transport.close()));
    await producer?.disconnect();
    await admin?.disconnect();
  });

  async function createTopic(): Promise<string> {
    const topic = `${uniqueName('control')}.sluice.control`;
    await createTopics(admin, [{ topic, numPartitions: PARTITIONS }]);
    return topic;
  }

  async function cancel(topic: string, id: string, agoMs = 0): Promise<void> {
    const { key, value, headers } = toControlRecord(id);
    const timestamp = String(Date.now() - agoMs);
    const message = { key: Buffer.from(key ?? []), value: Buffer.from(value ?? []), headers: toKafkaHeaders(headers) };
    await producer.send({ topic, messages: [{ ...message, timestamp }] });
  }

  /** As another process. */
  async function watch(topic: string, group = 'shop'): Promise<{ watch: TopicWatch | null; seen: string[] }> {
    const transport = kafkaTransport({ brokers, logger: silentLogger, maxWaitMs: 100, sessionTimeoutMs: 6_000 });
    open.push(transport);
    const seen: string[] = [];
    const found = await transport.watchTopic?.({
      topic,
      group,
      sinceMs: Date.now() - 600_000,
      onRecords: (records) => seen.push(...records.map(({ headers }) => readTextHeader(headers, 'ce_subject') ?? '')),
    });
    return { watch: found ?? null, seen };
  }

  test('is read whole by each of several workers of one group, from ten minutes ago on', async () => {
    const topic = await createTopic();
    const old = Array.from({ length: 6 }, (_, n) => `old-${n}`);
    const recent = Array.from({ length: 6 }, (_, n) => `recent-${n}`);
    for (const id of old) await cancel(topic, id, 660_000);
    for (const id of recent) await cancel(topic, id, 540_000);
    const watchers = [await watch(topic), await watch(topic)];
    // Known as soon as `watchTopic` resolves: commands are taken after that.
    for (const { seen } of watchers) expect(seen.toSorted()).toEqual(recent);
    await cancel(topic, 'now');
    for (const { seen } of watchers)
      await expect.poll(() => seen.toSorted(), { timeout: 15_000 }).toEqual(['now', ...recent]);
  }, 60_000);

  test('commits nothing, and leaves no group behind', async () => {
    const topic = await createTopic();
    const group = uniqueName('leaves');
    await cancel(topic, 'a');
    const { watch: found, seen } = await watch(topic, group);
    expect(seen).toEqual(['a']);
    const ours = async () =>
      (await admin.listGroups()).groups.filter(({ groupId }) => groupId.startsWith(`${group}.control.`));
    const [own] = await ours();
    const offsets = await admin.fetchOffsets({ groupId: own?.groupId ?? '', topics: [topic] });
    expect(offsets[0]?.partitions.map(({ offset }) => offset)).toEqual(Array(PARTITIONS).fill('-1'));
    await found?.close();
    await expect.poll(ours, { timeout: 15_000 }).toEqual([]);
  }, 60_000);

  test('that is not there is told as such', async () => {
    expect((await watch(uniqueName('nowhere'))).watch).toBeNull();
  });
});
