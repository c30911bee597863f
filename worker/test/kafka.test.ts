import { type Admin, type Consumer, Kafka, logLevel, type Producer } from 'kafkajs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeWithKafka, uniqueName } from '../../test/support/real-parts.ts';
import { CommandClient } from '../src/command-client.ts';
import { CommandError } from '../src/errors.ts';
import type { Handler } from '../src/handler-call.ts';
import { toKafkaHeaders } from '../src/kafka-sender.ts';
import { kafkaTransport } from '../src/kafka-transport.ts';
import { silentLogger } from '../src/log.ts';
import { SendError, type WorkerTransport } from '../src/transport.ts';
import { createWorker, type Worker } from '../src/worker.ts';
import { METHOD, readReply, type SeenReply, TOPIC, toRecord } from './support/bench.ts';
import { createTopics } from './support/kafka-topics.ts';

describeWithKafka('a worker on Kafka', (brokers) => {
  const namespace = uniqueName('worker');
  const commands = `${namespace}.${TOPIC}`;
  const replyTopic = `${namespace}.replies`;
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
  const replies: (SeenReply & { partition: number })[] = [];
  const open: { transport: WorkerTransport; worker: Worker }[] = [];
  let admin: Admin;
  let producer: Producer;
  let reader: Consumer;

  beforeAll(async () => {
    admin = kafka.admin();
    await admin.connect();
    await createTopics(admin, [
      { topic: commands, numPartitions: 3 },
      { topic: replyTopic, numPartitions: 2 },
    ]);
    producer = kafka.producer({ allowAutoTopicCreation: false });
    await producer.connect();
    reader = kafka.consumer({ groupId: `${namespace}.reader`, maxWaitTimeInMs: 100 });
    await reader.connect();
    await reader.subscribe({ topics: [replyTopic], fromBeginning: true });
    await reader.run({
      autoCommit: false,
      eachMessage: async ({ topic, partition, message }) => {
        const headers = Object.entries(message.headers ?? {}).flatMap(([name, value]) =>
          [value ?? []].flat().map((one) => [name, one as Buffer] as const),
        );
        const { key, value } = message;
        const record = { topic, partition, offset: BigInt(message.offset), timestampMs: 0, key, value, headers };
        replies.push({ ...readReply(record), partition });
      },
    });
  });

  afterAll(async () => {
    for (const { worker, transport } of open) {
      await worker.stop({ timeoutMs: 1_000 });
      await transport.close();
    }
    await reader?.disconnect();
    await producer?.disconnect();
    await admin?.disconnect();
  });

  function createTransport(): WorkerTransport {
    return kafkaTransport({
      brokers,
      logger: silentLogger,
      maxWaitMs: 100,
      sessionTimeoutMs: 6_000,
      refusedAfterMs: 500,
    });
  }

  async function serve<Request>(
    handler: Handler<Request, unknown>,
  ): Promise<{ worker: Worker; transport: WorkerTransport }> {
    const transport = createTransport();
    const worker = createWorker({ transport, group: 'shop', namespace, logger: silentLogger }).handle(METHOD, handler);
    open.push({ worker, transport });
    await worker.start();
    return { worker, transport };
  }

  async function send(...texts: Parameters<typeof toRecord>[0][]): Promise<void> {
    const messages = texts.map((text) => {
      const record = toRecord({ ...text, headers: { kafka_replyTopic: replyTopic, ...text.headers } });
      return {
        key: record.key && Buffer.from(record.key),
        value: record.value && Buffer.from(record.value),
        headers: toKafkaHeaders(record.headers),
      };
    });
    await producer.send({ topic: commands, messages });
  }

  const repliesTo = (id: string) => replies.filter((reply) => reply.id === id);
  const committed = async () => {
    const [topic] = await admin.fetchOffsets({ groupId: `${namespace}.shop`, topics: [commands] });
    return (topic?.partitions ?? []).reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0);
  };

  test('answers to the named partition, commits behind its replies, and takes up where it stopped', async () => {
    const { worker, transport } = await serve(({ sku }: { sku?: string }) => {
      if (sku === 'SOLD-OUT') throw new CommandError('FAILED_PRECONDITION', 'sold out');
      return { sku };
    });
    await send({ id: 'a', value: { sku: 'BOOK' } }, { id: 'b', value: { sku: 'SOLD-OUT' } });
    await expect
      .poll(() => repliesTo('a'), { timeout: 10_000 })
      .toMatchObject([{ value: { sku: 'BOOK' }, partition: 0 }]);
    await expect.poll(() => repliesTo('b')).toMatchObject([{ kind: 'error', code: 'FAILED_PRECONDITION' }]);
    await expect.poll(committed, { timeout: 10_000 }).toBe(2);
    await worker.stop();
    await transport.close();

    await send({ id: 'c', value: { sku: 'LATER' } });
    const seen: unknown[] = [];
    await serve((request) => {
      seen.push(request);
      return request;
    });
    await expect.poll(() => repliesTo('c'), { timeout: 10_000 }).toMatchObject([{ value: { sku: 'LATER' } }]);
    expect(seen).toEqual([{ sku: 'LATER' }]);
  });

  test('loses none of a thousand commands while a second member joins, and keeps the order of each key', async () => {
    await open.at(-1)?.worker.stop();
    const order = new Map<string, number[]>();
    const handler = async ({ key, n }: { key: string; n: number }) => {
      order.set(key, [...(order.get(key) ?? []), n]);
      return {};
    };
    await serve(handler);
    const texts = Array.from({ length: 1_000 }, (_, n) => ({
      id: `m${n}`,
      key: `k${n % 20}`,
      value: { key: `k${n % 20}`, n },
    }));
    await send(...texts.slice(0, 500));
    const second = serve(handler);
    await send(...texts.slice(500));
    await second;
    const answered = () => new Set(replies.filter((reply) => reply.id.startsWith('m')).map((reply) => reply.id)).size;
    await expect.poll(answered, { timeout: 15_000 }).toBe(1_000);
    for (const numbers of order.values()) {
      // A redelivery after the rebalance may repeat a number; the first coming of each must be in order.
      const first = [...new Set(numbers)];
      expect(first).toEqual(first.toSorted((a, b) => a - b));
    }
  });

  test('calls a command of another worker, whose reply comes home', async () => {
    const transport = createTransport();
    await createTopics(admin, [{ topic: `${namespace}.worker-replies.caller`, numPartitions: 3 }]);
    const client = new CommandClient({ transport, name: 'caller', namespace, logger: silentLogger });
    await client.start();
    expect(await client.call(METHOD, { key: 'x', n: 1 }, { timeoutMs: 10_000 })).toEqual({});
    await client.close();
    await transport.close();
  });

  test('goes on sending after a reply topic that does not exist, and refuses only that one', async () => {
    const transport = createTransport();
    const record = toRecord({ id: 'z' });
    const lost = transport
      .send([{ ...record, topic: `${namespace}.nowhere`, partition: 0 }])
      .catch((error: unknown) => error);
    expect(await lost).toMatchObject({ reason: 'unknown_topic', maybeSent: false });
    expect(await lost).toBeInstanceOf(SendError);
    await transport.send([{ ...record, topic: replyTopic, partition: 1 }]);
    await expect.poll(() => repliesTo('z'), { timeout: 10_000 }).toMatchObject([{ partition: 1 }]);
    await transport.close();
  });

  test('a record too large for the broker fails alone, not the batch that it is in', async () => {
    const transport = createTransport();
    const small = toRecord({ id: 'small' });
    const [first, large, last] = await Promise.allSettled([
      transport.send([{ ...small, topic: replyTopic, partition: 0 }]),
      transport.send([{ ...small, topic: replyTopic, partition: 0, value: new Uint8Array(2_000_000) }]),
      transport.send([{ ...small, topic: replyTopic, partition: 0 }]),
    ]);
    expect([first?.status, last?.status]).toEqual(['fulfilled', 'fulfilled']);
    expect(large).toMatchObject({ status: 'rejected', reason: { reason: 'too_large' } });
    await transport.close();
  });

  test('says at start which topics are missing, and makes them where it may', async () => {
    const transport = createTransport();
    const missing = `${namespace}.missing.v1`;
    await expect(transport.ensureTopics?.([commands, missing])).rejects.toThrow(`topics missing: ${missing}`);
    await transport.close();
    const maker = kafkaTransport({ brokers, logger: silentLogger, createTopics: { partitions: 2 } });
    await maker.ensureTopics?.([commands, missing]);
    expect((await admin.fetchTopicMetadata({ topics: [missing] })).topics[0]?.partitions).toHaveLength(2);
    await maker.close();
  });
});
