import { createRequire } from 'node:module';
import { beforeEach, describe, expect, it } from 'vitest';
import { RenewedAdmin } from '../../src/channel/kafka-admin.ts';
import type { KafkaClient } from '../../src/channel/kafka-client.ts';
import { KafkaWorkerProgress } from '../../src/channel/kafka-progress.ts';
import { FakeClock } from '../support/fake-clock.ts';

const load = createRequire(import.meta.url);
const errors: Record<string, new (...args: unknown[]) => Error> = load('kafkajs/src/errors');
const { createErrorFromCode }: { createErrorFromCode: (code: number) => Error } = load('kafkajs/src/protocol/error');
const refused = () => new errors['KafkaJSConnectionError']!('connect ECONNREFUSED', { code: 'ECONNREFUSED' });

let clock: FakeClock;
/** Of each client that was made, whether it is closed. */
let clients: { isClosed: boolean }[];
let admin: RenewedAdmin;
const settleAll = async () => {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

beforeEach(() => {
  clock = new FakeClock();
  clients = [];
  const createClient = () => {
    const client = { isClosed: false };
    const number = clients.push(client);
    const close = () => {
      client.isClosed = true;
    };
    const kafkaAdmin = { number, disconnect: async () => undefined };
    return { kafka: { admin: () => kafkaAdmin }, close } as unknown as KafkaClient;
  };
  admin = new RenewedAdmin({ createClient, clock, limitMs: 1000 });
});

/** A question that fails once, with this error; the answer is which admin was asked then. */
const failOnce = (error: Error) => {
  let isFirst = true;
  return admin.ask(async (each) => {
    if (!isFirst) return (each as unknown as { number: number }).number;
    isFirst = false;
    throw error;
  });
};

describe('the admin of kafkajs', () => {
  it.each([
    ['an unknown topic', createErrorFromCode(3)],
    ['a topic that is barred', createErrorFromCode(29)],
    ['brokers that are away', refused()],
  ])('stays after %s: another would hear the same', async (_, error) => {
    await expect(failOnce(error)).rejects.toBe(error);
    expect(clients).toHaveLength(1);
    await admin.close();
  });

  it('is replaced after a leader has changed: kafkajs would ask the old one for minutes', async () => {
    await expect(failOnce(createErrorFromCode(6))).rejects.toThrow();
    await settleAll();
    expect(clients.map(({ isClosed }) => isClosed)).toEqual([true, false]);
    await admin.close();
  });

  it('is replaced, and the question repeated, where kafkajs ends in a TypeError of its own', async () => {
    await expect(failOnce(new TypeError("Cannot read properties of null (reading 'topicMetadata')"))).resolves.toBe(2);
    await admin.close();
  });

  it('is replaced where it answers nothing at all: nobody waits for good', async () => {
    const hanging = admin.ask(() => new Promise(() => {}));
    clock.advance(1000);
    await expect(hanging).rejects.toThrow(/did not answer within 1000 ms/);
    await expect(admin.ask(async () => 'answered')).resolves.toBe('answered');
    expect(clients).toHaveLength(2);
    await admin.close();
    expect([clients.every(({ isClosed }) => isClosed), clock.pendingTimers]).toEqual([true, 0]);
  });

  it('leaves nobody waiting when it is closed', async () => {
    const hanging = admin.ask(() => new Promise(() => {}));
    await admin.close();
    await expect(hanging).rejects.toThrow(/being closed/);
    expect(clock.pendingTimers).toBe(0);
  });

  it('forgets on demand what it remembers of topics', async () => {
    admin.forget();
    await settleAll();
    expect(clients.map(({ isClosed }) => isClosed)).toEqual([true, false]);
    await admin.close();
  });
});

describe('how far workers have come', () => {
  const offsets = [
    { topic: 'other', partitions: [{ partition: 0, offset: '7', metadata: null }] },
    {
      topic: 't',
      partitions: [
        { partition: 0, offset: '-1', metadata: null },
        { partition: 1, offset: '0', metadata: null },
        { partition: 2, offset: '9007199254740993', metadata: null },
      ],
    },
  ];
  const makeProgress = (answer: () => Promise<unknown>) =>
    new KafkaWorkerProgress({ admin: { ask: answer as RenewedAdmin['ask'] }, clock, timeoutMs: 500 });

  it('is told by partition; what has no offset is absent', async () => {
    const progress = makeProgress(async () => offsets);
    expect(await progress.committed('g', 't')).toEqual(
      new Map([
        [1, 0n],
        [2, 9007199254740993n],
      ]),
    );
    expect(await progress.committed('g', 'unseen')).toEqual(new Map());
  });

  it('is asked for with an end', async () => {
    const asked = makeProgress(() => new Promise(() => {})).committed('g', 't');
    clock.advance(500);
    await expect(asked).rejects.toThrow(/within 500 ms/);
  });
});
