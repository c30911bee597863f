// Outages of a broker that this file has to itself. The session is so long that a worker which had to wait for the end of
// its former self's would answer nothing before a test gives up.
import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type KafkaBroker, startKafkaBroker } from '../../test/support/kafka-broker.ts';
import { describeWithKafka } from '../../test/support/real-parts.ts';
import { toKafkaHeaders } from '../src/kafka-sender.ts';
import { kafkaTransport } from '../src/kafka-transport.ts';
import { type Logger, silentLogger } from '../src/log.ts';
import { createWorker } from '../src/worker.ts';
import { METHOD, TOPIC, toControlRecord, toRecord } from './support/bench.ts';
import { createTopics } from './support/kafka-topics.ts';

const PARTITIONS = 4;
const SESSION_MS = 600_000;

describeWithKafka('workers whose broker goes away', () => {
  let broker: KafkaBroker;
  let kafka: Kafka;
  const stops: (() => Promise<void>)[] = [];
  const ran: string[] = [];
  const aborted: string[] = [];
  let crashes = 0;

  beforeAll(async () => {
    broker = await startKafkaBroker();
    kafka = new Kafka({ brokers: broker.brokers, logLevel: logLevel.NOTHING, retry: { retries: 10 } });
    await withAdmin((admin) =>
      createTopics(admin, [
        { topic: TOPIC, numPartitions: PARTITIONS },
        { topic: 'sluice.control', numPartitions: 2 },
      ]),
    );
    for (const _ of ['one', 'another']) await startWorker();
  }, 120_000);

  afterAll(async () => {
    await Promise.all(stops.map((stop) => stop()));
    await broker?.stop();
  });

  async function startWorker(): Promise<void> {
    const warn: Logger['warn'] = (fields, message) => {
      if (message.startsWith('consumer crashed') && (fields as { group?: string }).group === 'shop') crashes += 1;
    };
    const logger = { ...silentLogger, warn };
    const transport = kafkaTransport({ brokers: broker.brokers, logger, maxWaitMs: 100, sessionTimeoutMs: SESSION_MS });
    const worker = createWorker({ transport, group: 'shop', logger });
    worker.handle(METHOD, async ({ wait }: { wait?: boolean }, context) => {
      ran.push(context.operationId ?? '');
      if (!wait) return {};
      return new Promise((resolve) => {
        context.signal.addEventListener('abort', () => {
          aborted.push(context.operationId ?? '');
          resolve({});
        });
      });
    });
    await worker.start();
    stops.push(() => worker.stop({ timeoutMs: 1_000 }).then(() => transport.close()));
  }

  async function withAdmin<Result>(use: (admin: ReturnType<Kafka['admin']>) => Promise<Result>): Promise<Result> {
    const admin = kafka.admin();
    await admin.connect();
    return use(admin).finally(() => admin.disconnect());
  }

  async function produce(topic: string, messages: Parameters<typeof toMessage>[]): Promise<void> {
    const producer = kafka.producer({ allowAutoTopicCreation: false });
    await producer.connect();
    await producer.send({ topic, messages: messages.map((each) => toMessage(...each)) });
    await producer.disconnect();
  }

  /** One command to each partition, so that each member of the group must take some. */
  async function sendToAll(name: string, value: object = {}): Promise<string[]> {
    const ids = Array.from({ length: PARTITIONS }, (_, partition) => `${name}-${partition}`);
    await produce(
      TOPIC,
      ids.map((id, partition) => [toRecord({ id, value, oneWay: true }), partition]),
    );
    return ids;
  }

  const members = () =>
    withAdmin((admin) => admin.describeGroups(['shop'])).then(({ groups }) => groups[0]?.members ?? []);

  test('take commands again when it is back, and wait for no session to end', async () => {
    const before = await sendToAll('before');
    await expect.poll(() => before.every((id) => ran.includes(id)), { timeout: 30_000 }).toBe(true);
    await broker.kill();
    // kafkajs tells of a crash when it has tried to leave the group; sometimes that is when the broker is back.
    await expect.poll(() => crashes, { timeout: 60_000 }).toBeGreaterThan(0);
    await broker.restart();
    const after = await sendToAll('after');
    await expect.poll(() => after.every((id) => ran.includes(id)), { timeout: 60_000 }).toBe(true);
    expect(await members()).toHaveLength(2);
  }, 120_000);

  test('hear of cancellations again', async () => {
    const ids = await sendToAll('cancelled', { wait: true });
    await expect.poll(() => ids.every((id) => ran.includes(id)), { timeout: 30_000 }).toBe(true);
    await produce(
      'sluice.control',
      ids.map((id, n) => [toControlRecord(id), n % 2]),
    );
    await expect.poll(() => aborted.toSorted(), { timeout: 30_000 }).toEqual(ids);
  }, 120_000);
});

function toMessage(record: ReturnType<typeof toRecord>, partition: number) {
  const key = Buffer.from(record.key ?? []);
  return { partition, key, value: Buffer.from(record.value ?? []), headers: toKafkaHeaders(record.headers) };
}
