// A worker that is killed, and the next one of its group: real processes, real Kafka, real PostgreSQL.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Admin, Kafka, logLevel, type Producer } from 'kafkajs';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, describeWithBoth, uniqueName } from '../../test/support/real-parts.ts';
import { toKafkaHeaders } from '../src/kafka-sender.ts';
import { kafkaTransport } from '../src/kafka-transport.ts';
import { silentLogger } from '../src/log.ts';
import type { OutgoingRecord, WorkerTransport } from '../src/transport.ts';
import { createWorker } from '../src/worker.ts';
import { METHOD, TOPIC, toRecord } from './support/bench.ts';
import { createTopics } from './support/kafka-topics.ts';
import { addEffect, createPool, createStore } from './support/marks.ts';

const PROGRAM = fileURLToPath(new URL('support/killed-worker.ts', import.meta.url));

describeWithBoth('a worker that is killed', ({ brokers }) => {
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
  let admin: Admin;
  let producer: Producer;
  let url: string;
  let pool: pg.Pool;

  beforeAll(async () => {
    admin = kafka.admin();
    producer = kafka.producer({ allowAutoTopicCreation: false });
    await Promise.all([admin.connect(), producer.connect()]);
    url = await createTestDatabase();
    pool = createPool(url);
    await pool.query('CREATE TABLE effects (id text NOT NULL, note text)');
  });

  afterAll(async () => {
    await producer?.disconnect();
    await admin?.disconnect();
    await pool?.end();
  });

  async function prepare(): Promise<string> {
    const namespace = uniqueName('killed');
    const topics = [`${namespace}.${TOPIC}`, `${namespace}.replies`].map((topic) => ({ topic, numPartitions: 1 }));
    await createTopics(admin, topics);
    return namespace;
  }

  async function send(namespace: string, id: string): Promise<void> {
    const headers = { kafka_replyTopic: `${namespace}.replies` };
    const record = toRecord({ id, topic: `${namespace}.${TOPIC}`, headers });
    const message = { key: id, value: Buffer.from(record.value ?? []), headers: toKafkaHeaders(record.headers) };
    await producer.send({ topic: record.topic, messages: [message] });
  }

  /** Runs one that dies over the command. */
  async function die(moment: string, namespace: string, id: string): Promise<void> {
    const child = spawn(process.execPath, [PROGRAM, moment, brokers.join(','), url, namespace], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const died = once(child, 'exit');
    await once(child.stdout, 'data');
    await send(namespace, id);
    expect(await died).toEqual([null, 'SIGKILL']);
  }

  /** The next member of the group, and what it sends. */
  async function takeOver(namespace: string) {
    const transport = kafkaTransport({ brokers, logger: silentLogger, maxWaitMs: 100, sessionTimeoutMs: 2_000 });
    const sent: OutgoingRecord[] = [];
    const watched: WorkerTransport = {
      ...bindAll(transport),
      send: async (records) => {
        await transport.send(records);
        sent.push(...records);
      },
    };
    let runs = 0;
    const worker = createWorker({
      transport: watched,
      group: 'shop',
      namespace,
      deduplication: createStore(pool),
      logger: silentLogger,
    });
    worker.handle(METHOD, async (_request, context) => {
      runs += 1;
      await addEffect(context.transaction, context.operationId ?? '', 'next');
      return { by: 'next' };
    });
    await worker.start();
    const answers = () => sent.map(({ value }) => JSON.parse(Buffer.from(value ?? []).toString()));
    const stop = () => worker.stop().then(() => transport.close());
    return { answers, runs: () => runs, stop };
  }

  const effectsOf = async (id: string) => (await pool.query('SELECT note FROM effects WHERE id = $1', [id])).rows;
  const position = async (namespace: string) => {
    const topic = `${namespace}.${TOPIC}`;
    const [found] = await admin.fetchOffsets({ groupId: `${namespace}.shop`, topics: [topic] });
    return found?.partitions[0]?.offset;
  };

  test('between effect and reply: the next one finds the mark, and sends the reply that was stored', async () => {
    const namespace = await prepare();
    await die('reply', namespace, 'a');
    expect(await effectsOf('a')).toEqual([{ note: 'killed' }]);
    expect(await position(namespace)).toBe('-1');
    const next = await takeOver(namespace);
    await expect.poll(next.answers, { timeout: 30_000 }).toEqual([{ by: 'killed' }]);
    expect(next.runs()).toBe(0);
    expect(await effectsOf('a')).toEqual([{ note: 'killed' }]);
    await expect.poll(() => position(namespace), { timeout: 5_000 }).toBe('1');
    await next.stop();
  }, 60_000);

  test('in its handler: its effect is gone with it, and the next one runs the command', async () => {
    const namespace = await prepare();
    await die('handler', namespace, 'b');
    const next = await takeOver(namespace);
    await expect.poll(next.answers, { timeout: 30_000 }).toEqual([{ by: 'next' }]);
    expect(await effectsOf('b')).toEqual([{ note: 'next' }]);
    await next.stop();
  }, 60_000);
});

/** Its methods stand in the prototype, where a spread does not see them. */
function bindAll(transport: WorkerTransport): WorkerTransport {
  return {
    ensureTopics: (topics) => transport.ensureTopics?.(topics) ?? Promise.resolve(),
    subscribe: (options) => transport.subscribe(options),
    openInbox: (options) => transport.openInbox(options),
    watchTopic: (options) => transport.watchTopic?.(options) ?? Promise.resolve(null),
    send: (records) => transport.send(records),
    close: () => transport.close(),
  };
}
