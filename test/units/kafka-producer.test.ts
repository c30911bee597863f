import { createRequire } from 'node:module';
import type { ProducerRecord, RecordMetadata } from 'kafkajs';
import { beforeEach, describe, expect, it } from 'vitest';
import type { KafkaClient } from '../../src/channel/kafka-client.ts';
import { RenewedProducer } from '../../src/channel/kafka-producer.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { FakeClock } from '../support/fake-clock.ts';

const load = createRequire(import.meta.url);
const { createErrorFromCode }: { createErrorFromCode: (code: number) => Error } = load('kafkajs/src/protocol/error');
const unknownTopic = () => createErrorFromCode(3);
const ack = [{ topicName: 't', partition: 0, errorCode: 0, baseOffset: '0' }] as RecordMetadata[];

/** kafkajs's producer at its boundary. */
class FakeProducer {
  readonly sent: string[] = [];
  answer: (topic: string) => Promise<RecordMetadata[]> = async () => ack;
  connects = 0;
  connectError: Error | null = null;
  isDisconnected = false;
  async connect(): Promise<void> {
    this.connects += 1;
    if (this.connectError) throw this.connectError;
  }
  async disconnect(): Promise<void> {
    this.isDisconnected = true;
  }
  send({ topic }: ProducerRecord): Promise<RecordMetadata[]> {
    this.sent.push(topic);
    return this.answer(topic);
  }
}

let clock: FakeClock;
let made: FakeProducer[];
let closedClients: number;
let asked: string[][];
/** What the brokers say of topics that a producer has used. */
let areThere: () => Promise<boolean>;
let producer: RenewedProducer;
const settleAll = async () => {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};
const send = (topic: string) => producer.send({ topic, messages: [] });
const failing = (...topics: string[]) => {
  const failed = async (topic: string) => (topics.includes(topic) ? Promise.reject(unknownTopic()) : ack);
  for (const each of made) each.answer = failed;
};

beforeEach(() => {
  clock = new FakeClock();
  made = [];
  asked = [];
  closedClients = 0;
  areThere = async () => true;
  const countClosed = () => {
    closedClients += 1;
  };
  const createClient = () => {
    const fake = new FakeProducer();
    made.push(fake);
    return { kafka: { producer: () => fake }, close: countClosed } as unknown as KafkaClient;
  };
  producer = new RenewedProducer({
    createClient,
    areTopicsThere: (topics) => {
      asked.push([...topics]);
      return areThere();
    },
    requestTimeoutMs: 5000,
    clock,
    logger: silentLogger,
  });
});

describe('a producer that has used a topic which is gone now', () => {
  beforeEach(async () => {
    await send('a');
    await send('b');
    areThere = async () => false;
  });

  it('is replaced by one that does not know it, and the others go on', async () => {
    failing('b');
    await expect(send('b')).rejects.toThrow();
    await settleAll();
    expect(made).toHaveLength(2);
    expect(asked).toEqual([['a', 'b']]);
    await send('a');
    expect([made[0]!.sent, made[1]!.sent]).toEqual([['a', 'b', 'b'], ['a']]);
    await producer.close();
  });

  it('is replaced too where the failure shows in a send to another topic', async () => {
    failing('a');
    await expect(send('a')).rejects.toThrow();
    await settleAll();
    expect(made).toHaveLength(2);
    await producer.close();
  });

  it('finishes what it has under way, and is closed then', async () => {
    const slow = Promise.withResolvers<RecordMetadata[]>();
    made[0]!.answer = (topic) => (topic === 'a' ? slow.promise : Promise.reject(unknownTopic()));
    const underWay = send('a');
    await expect(send('b')).rejects.toThrow();
    await settleAll();
    expect([made.length, made[0]!.isDisconnected]).toEqual([2, false]);
    slow.resolve(ack);
    await expect(underWay).resolves.toEqual(ack);
    await settleAll();
    expect([made[0]!.isDisconnected, closedClients]).toEqual([true, 1]);
    await producer.close();
    expect(clock.pendingTimers).toBe(0);
  });

  it('is cut off where it does not finish', async () => {
    made[0]!.answer = (topic) => (topic === 'a' ? new Promise(() => {}) : Promise.reject(unknownTopic()));
    void send('a');
    await expect(send('b')).rejects.toThrow();
    await settleAll();
    clock.advance(8000);
    await settleAll();
    expect([made[0]!.isDisconnected, closedClients]).toEqual([true, 1]);
    await producer.close();
  });
});

describe('a producer whose first send to a topic is refused', () => {
  it('is replaced once the topic is gone: while it was being deleted, kafkajs had already learnt of it', async () => {
    await send('a');
    failing('dying');
    await expect(send('dying')).rejects.toThrow();
    await settleAll();
    expect([asked, made.length]).toEqual([[['a', 'dying']], 1]);
    areThere = async () => false;
    failing('a');
    clock.advance(250);
    await expect(send('a')).rejects.toThrow();
    await settleAll();
    expect(made).toHaveLength(2);
    await producer.close();
  });
});

describe('a producer is kept', () => {
  it('where the brokers cannot be asked; it is looked at again a little later', async () => {
    await send('a');
    areThere = () => Promise.reject(new Error('no answer'));
    failing('a');
    await expect(send('a')).rejects.toThrow();
    await settleAll();
    await expect(send('a')).rejects.toThrow();
    await settleAll();
    expect([made.length, asked.length]).toEqual([1, 1]);
    areThere = async () => false;
    clock.advance(250);
    await expect(send('a')).rejects.toThrow();
    await settleAll();
    expect(made).toHaveLength(2);
    await producer.close();
  });

  it('after any other failure', async () => {
    made[0]!.answer = async () => Promise.reject(createErrorFromCode(6));
    await expect(send('a')).rejects.toThrow();
    await settleAll();
    expect([made.length, asked.length]).toEqual([1, 0]);
    await producer.close();
  });
});

it('a producer that does not know a partition which was added is replaced, at most four times a second', async () => {
  made[0]!.answer = async () => [];
  await expect(send('a')).resolves.toEqual([]);
  expect(made).toHaveLength(2);
  made[1]!.answer = async () => [];
  await send('a');
  expect(made).toHaveLength(2);
  clock.advance(250);
  await send('a');
  expect(made).toHaveLength(3);
  await producer.close();
});

it('a producer connects once, and again after a failed try', async () => {
  made[0]!.connectError = new Error('no broker');
  await expect(send('a')).rejects.toThrow(/no broker/);
  made[0]!.connectError = null;
  await Promise.all([send('a'), send('a')]);
  await producer.connect();
  expect(made[0]!.connects).toBe(2);
  await producer.close();
  expect([made[0]!.isDisconnected, closedClients, clock.pendingTimers]).toEqual([true, 1, 0]);
});
