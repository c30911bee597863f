import { createRequire } from 'node:module';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type TopicFacts, TopicRefusedError } from '../../src/channel/kafka-catalog.ts';
import type { KafkaPublishConfig } from '../../src/channel/kafka-config.ts';
import { KafkaPublisher } from '../../src/channel/kafka-publisher.ts';
import { partitionOfKey } from '../../src/channel/partition.ts';
import type { CommandRecord, OwnRecord, PublishError } from '../../src/operations/channel-ports.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { Sent } from '../support/kafka-channel.ts';

const load = createRequire(import.meta.url);
const errors: Record<string, new (...args: unknown[]) => Error> = load('kafkajs/src/errors');
const { createErrorFromCode }: { createErrorFromCode: (code: number) => Error } = load('kafkajs/src/protocol/error');
const wrapped = (error: Error) => new errors['KafkaJSNumberOfRetriesExceeded']!(error, { retryCount: 0, retryTime: 1 });
const refused = () => wrapped(new errors['KafkaJSConnectionError']!('connect ECONNREFUSED', { code: 'ECONNREFUSED' }));
const notLeader = () => wrapped(createErrorFromCode(6));
const tooLarge = () => createErrorFromCode(10);
const unknownTopic = () => wrapped(createErrorFromCode(3));

const encoder = new TextEncoder();
const keyOn = (partition: number) =>
  'abcdefgh'.split('').find((key) => partitionOfKey(encoder.encode(key), 2) === partition)!;
const KEY = { zero: keyOn(0), one: keyOn(1) };

function makeRecord(value: string, change: { topic?: string; key?: string } = {}): CommandRecord {
  return {
    topic: change.topic ?? 't',
    key: encoder.encode(change.key ?? KEY.zero),
    value: encoder.encode(value),
    headers: [],
  };
}

let clock: FakeClock;
let sent: Sent[];
let refuseLookUp: Error | null;
let unknownTopics: string[];
let publisher: KafkaPublisher;
const settings: KafkaPublishConfig = {
  maxPendingRecords: 10,
  maxPendingBytes: 10_000,
  batchRecords: 4,
  batchBytes: 1000,
};

function makePublisher(change: Partial<KafkaPublishConfig> = {}): KafkaPublisher {
  return new KafkaPublisher(
    { ...settings, ...change },
    {
      clock,
      metrics: createMetrics(),
      requestTimeoutMs: 1000,
      catalog: {
        known: (topic) => (unknownTopics.includes(topic) ? null : facts),
        lookUp: async () => (refuseLookUp ? Promise.reject(refuseLookUp) : facts),
        maxMessageBytes: () => 5000,
      },
      producer: {
        send: (request) =>
          new Promise((resolve, reject) => {
            sent.push(new Sent(request, { resolve, reject }));
          }),
      },
    },
  );
}

const facts: TopicFacts = { partitionCount: 2, brokerCount: 1, replicas: 1 };
const sends = (count: number) => vi.waitFor(() => expect(sent).toHaveLength(count));
const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => null,
    (error: PublishError) => error,
  );
/** Lets promises and the queue's turn run out. */
const settleAll = async () => {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

beforeEach(() => {
  clock = new FakeClock();
  sent = [];
  refuseLookUp = null;
  unknownTopics = ['unseen'];
  publisher = makePublisher();
});
afterEach(async () => {
  const stopped = publisher.stop(0);
  clock.advance(1);
  await stopped;
});

describe('group commit', () => {
  it('sends what gathered while one request was in flight as one, one topic-partition each', async () => {
    const first = publisher.publish(makeRecord('1'), 10_000);
    await sends(1);
    const rest = [2, 3, 4, 5, 6, 7].map((value) => publisher.publish(makeRecord(String(value)), 10_000));
    const other = publisher.publish(makeRecord('x', { key: KEY.one }), 10_000);
    await sends(2);
    expect(sent[1]!.messages.map((message) => [message.partition, String(message.value)])).toEqual([[1, 'x']]);
    sent[1]!.acknowledge(50);
    await expect(other).resolves.toEqual({ partition: 1, offset: 50n });
    sent[0]!.acknowledge(7);
    await expect(first).resolves.toEqual({ partition: 0, offset: 7n });
    await sends(3);
    expect(sent[2]!.values).toEqual(['2', '3', '4', '5']);
    sent[2]!.acknowledge(8);
    await sends(4);
    sent[3]!.acknowledge(12);
    expect((await Promise.all(rest)).map(({ offset }) => offset)).toEqual([8n, 9n, 10n, 11n, 12n, 13n]);
  });

  it('keeps a request within its bytes', async () => {
    const all = [1, 2, 3].map(() => publisher.publish(makeRecord('x'.repeat(450)), 10_000));
    await sends(1);
    expect(sent[0]!.messages).toHaveLength(2);
    sent[0]!.acknowledge(0);
    await sends(2);
    sent[1]!.acknowledge(2);
    await Promise.all(all);
  });

  it('refuses past its bounds, in records and in bytes, and takes on again when there is room', async () => {
    const held = Array.from({ length: 10 }, () => publisher.publish(makeRecord('x'), 10_000));
    await sends(1);
    await expect(publisher.publish(makeRecord('x'), 10_000)).rejects.toMatchObject({
      problem: 'overloaded',
      certainlyNotSent: true,
      definite: false,
    });
    for (let round = 1; round <= 3; round += 1) {
      await sends(round);
      sent[round - 1]!.acknowledge(round);
    }
    await Promise.all(held);
    await settleAll();
    const again = publisher.publish(makeRecord('x'), 10_000);
    await sends(4);
    sent[3]!.acknowledge(0);
    await again;
    publisher = makePublisher({ maxPendingBytes: 500 });
    await expect(publisher.publish(makeRecord('x'.repeat(600)), 10_000)).rejects.toMatchObject({
      problem: 'overloaded',
    });
  });
});

describe('an answer', () => {
  it.each([
    ['is empty', []],
    ['is of another partition', [{ topicName: 't', partition: 1, errorCode: 0, baseOffset: '1' }]],
    ['has an error', [{ topicName: 't', partition: 0, errorCode: 6, baseOffset: '-1' }]],
    ['has no offset', [{ topicName: 't', partition: 0, errorCode: 0, baseOffset: '-1' }]],
  ])('that %s is no ack: the whole send is repeated', async (_, answer) => {
    const receipt = publisher.publish(makeRecord('1'), 10_000);
    await sends(1);
    sent[0]!.answer(answer);
    await settleAll();
    clock.advance(60);
    await sends(2);
    expect(sent[1]!.values).toEqual(['1']);
    sent[1]!.acknowledge(3);
    await expect(receipt).resolves.toEqual({ partition: 0, offset: 3n });
  });
});

describe('what became of a record', () => {
  it('is not_sent where no send of it was ever encoded', async () => {
    const failed = failureOf(publisher.publish(makeRecord('1'), 500));
    await sends(1);
    sent[0]!.fail(refused(), { encoded: false });
    await settleAll();
    clock.advance(49);
    clock.advance(1);
    await sends(2);
    sent[1]!.fail(refused(), { encoded: false });
    await settleAll();
    clock.advance(500);
    expect(await failed).toMatchObject({ problem: 'unreachable', certainlyNotSent: true, definite: false });
  });

  it('is unknown for good once one send of it was, whatever the later ones say', async () => {
    const failed = failureOf(publisher.publish(makeRecord('1'), 500));
    await sends(1);
    sent[0]!.fail(refused(), { encoded: true });
    await settleAll();
    clock.advance(50);
    await sends(2);
    sent[1]!.fail(refused(), { encoded: false });
    await settleAll();
    clock.advance(500);
    expect(await failed).toMatchObject({ certainlyNotSent: false });
  });

  it('is not_sent at the end of its time where it only waited, unknown where it was under way', async () => {
    const first = failureOf(publisher.publish(makeRecord('1'), 300));
    await sends(1);
    sent[0]!.encode();
    const second = failureOf(publisher.publish(makeRecord('2'), 300));
    await settleAll();
    clock.advance(300);
    expect(await first).toMatchObject({ problem: 'timed_out', certainlyNotSent: false });
    expect(await second).toMatchObject({ problem: 'timed_out', certainlyNotSent: true });
    sent[0]!.acknowledge(0);
    await settleAll();
    expect(sent).toHaveLength(1);
  });

  it('is not_sent for a send that gets no connection, and such a send never goes out after that', async () => {
    const failed = failureOf(publisher.publish(makeRecord('1'), 60_000));
    await sends(1);
    clock.advance(1100);
    expect(await failed).toMatchObject({ problem: 'unreachable', certainlyNotSent: true });
    expect(() => sent[0]!.encode()).toThrow(/withdrawn/);
    sent[0]!.fail(new Error('the send was withdrawn'), { encoded: false });
    await settleAll();
    expect(sent).toHaveLength(1);
  });
});

describe('a topic-partition that fails', () => {
  async function breakPartition(): Promise<void> {
    const failed = failureOf(publisher.publish(makeRecord('1'), 60_000));
    for (let round = 0; round < 5; round += 1) {
      await sends(round + 1);
      sent[round]!.fail(refused(), { encoded: false });
      await settleAll();
      clock.advance(50 * 2 ** round);
    }
    expect(await failed).toMatchObject({ problem: 'unreachable', certainlyNotSent: true });
    await settleAll();
  }

  it('refuses at once after a second, is tried again now and then, and is well after a success', async () => {
    expect(publisher.trouble()).toBeNull();
    await breakPartition();
    const before = sent.length;
    expect(publisher.trouble()).toMatch(/t: connect ECONNREFUSED/);
    expect(await failureOf(publisher.publish(makeRecord('2'), 60_000))).toMatchObject({ certainlyNotSent: true });
    expect(sent).toHaveLength(before);
    clock.advance(1000);
    const probe = publisher.publish(makeRecord('3'), 60_000);
    await sends(before + 1);
    expect(await failureOf(publisher.publish(makeRecord('4'), 60_000))).toMatchObject({ certainlyNotSent: true });
    sent[before]!.acknowledge(9);
    await expect(probe).resolves.toEqual({ partition: 0, offset: 9n });
    expect(publisher.trouble()).toBeNull();
  });

  it('holds up no other', async () => {
    await breakPartition();
    const before = sent.length;
    const other = publisher.publish(makeRecord('x', { key: KEY.one }), 60_000);
    const otherTopic = publisher.publish(makeRecord('y', { topic: 'u' }), 60_000);
    await sends(before + 2);
    for (const each of sent.slice(before)) each.acknowledge(0);
    await Promise.all([other, otherTopic]);
  });

  it('keeps its order over a repeat', async () => {
    const all = ['1', '2'].map((value) => publisher.publish(makeRecord(value), 60_000));
    await sends(1);
    sent[0]!.fail(notLeader(), { encoded: true });
    await settleAll();
    const late = publisher.publish(makeRecord('3'), 60_000);
    clock.advance(50);
    await sends(2);
    expect(sent[1]!.values).toEqual(['1', '2']);
    sent[1]!.acknowledge(0);
    await sends(3);
    expect(sent[2]!.values).toEqual(['3']);
    sent[2]!.acknowledge(2);
    await Promise.all([...all, late]);
  });
});

describe('a record that is too large', () => {
  it('fails alone', async () => {
    const all = ['1', '2', 'large', '4'].map((value) => publisher.publish(makeRecord(value), 60_000));
    const outcomes = Promise.allSettled(all);
    await sends(1);
    const answered = new Set<Sent>();
    let offset = 0;
    while (answered.size < sent.length) {
      for (const each of sent.filter((candidate) => !answered.has(candidate))) {
        answered.add(each);
        if (each.values.includes('large')) each.fail(tooLarge(), { encoded: true });
        else {
          each.acknowledge(offset);
          offset += each.messages.length;
        }
      }
      await settleAll();
    }
    expect((await outcomes).map((outcome) => outcome.status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    expect((await outcomes)[2]).toMatchObject({
      reason: { problem: 'too_large', certainlyNotSent: true, definite: true },
    });
    expect(sent.map((each) => each.values)).toEqual([
      ['1', '2', 'large', '4'],
      ['1', '2'],
      ['large', '4'],
      ['large'],
      ['4'],
    ]);
  });

  it('lets nothing overtake a half that failed for another reason', async () => {
    const all = ['1', '2', '3', '4'].map((value) => publisher.publish(makeRecord(value), 60_000));
    await sends(1);
    sent[0]!.fail(tooLarge(), { encoded: true });
    await sends(2);
    sent[1]!.fail(notLeader(), { encoded: true });
    await settleAll();
    clock.advance(50);
    await sends(3);
    expect(sent.map((each) => each.values)).toEqual([
      ['1', '2', '3', '4'],
      ['1', '2'],
      ['1', '2', '3', '4'],
    ]);
    sent[2]!.acknowledge(0);
    await Promise.all(all);
  });

  it('is refused before it is sent where the topic is known to be too narrow', () => {
    expect(() => publisher.assertFits(makeRecord('x'.repeat(5000)))).toThrow(/topic t takes at most 5000/);
    expect(() => publisher.assertFits(makeRecord('x'.repeat(4000)))).not.toThrow();
  });
});

describe('a topic that is gone', () => {
  const gone = (forMs: number) => new TopicRefusedError('unknown_topic', 'there is no topic', forMs, null);

  it('is definite only when fresh metadata has said so for long enough', async () => {
    const soon = failureOf(publisher.publish(makeRecord('1'), 400));
    await sends(1);
    refuseLookUp = gone(29_000);
    sent[0]!.fail(unknownTopic(), { encoded: false });
    await settleAll();
    clock.advance(500);
    expect(await soon).toMatchObject({ problem: 'unknown_topic', certainlyNotSent: true, definite: false });
    const later = failureOf(publisher.publish(makeRecord('2'), 60_000));
    await sends(2);
    refuseLookUp = gone(30_000);
    sent[1]!.fail(unknownTopic(), { encoded: false });
    expect(await later).toMatchObject({ problem: 'unknown_topic', certainlyNotSent: true, definite: true });
  });

  it('is kept from the producer, whose sends to all others it would fail, until it is found again', async () => {
    const acknowledged = publisher.publish(makeRecord('1'), 900);
    await sends(1);
    [unknownTopics, refuseLookUp] = [['t'], gone(0)];
    sent[0]!.fail(unknownTopic(), { encoded: false });
    for (let round = 0; round < 5; round += 1) {
      await settleAll();
      clock.advance(100);
    }
    expect(sent).toHaveLength(1);
    refuseLookUp = null;
    await settleAll();
    clock.advance(300);
    await sends(2);
    sent[1]!.acknowledge(3);
    await expect(acknowledged).resolves.toEqual({ partition: 0, offset: 3n });
  });

  it('before the first record is not_sent, too', async () => {
    refuseLookUp = gone(0);
    const soon = failureOf(publisher.publish(makeRecord('1', { topic: 'unseen' }), 0));
    expect(await soon).toMatchObject({ problem: 'unknown_topic', certainlyNotSent: true, definite: false });
    refuseLookUp = gone(31_000);
    expect(await failureOf(publisher.publish(makeRecord('1', { topic: 'unseen' }), 1e6))).toMatchObject({
      definite: true,
    });
    expect(sent).toEqual([]);
  });

  it('is told at once to its calls after a second, so that they do not take the places of others', async () => {
    refuseLookUp = gone(999);
    const patient = failureOf(publisher.publish(makeRecord('1', { topic: 'unseen' }), 60_000));
    await settleAll();
    refuseLookUp = gone(1000);
    clock.advance(100);
    expect(await patient).toMatchObject({ problem: 'unknown_topic', certainlyNotSent: true, definite: false });
    for (let call = 0; call < 20; call += 1) {
      const failed = failureOf(publisher.publish(makeRecord('1', { topic: 'unseen' }), 60_000));
      expect(await failed).toMatchObject({ problem: 'unknown_topic' });
    }
  });

  it('is not to be mistaken for brokers that cannot be asked', async () => {
    refuseLookUp = refused();
    const failed = failureOf(publisher.publish(makeRecord('1', { topic: 'unseen' }), 60_000));
    for (let round = 0; round < 12; round += 1) {
      await settleAll();
      clock.advance(100);
    }
    expect(await failed).toMatchObject({ problem: 'unreachable', certainlyNotSent: true, definite: false });
    expect(await failureOf(publisher.publish(makeRecord('1', { topic: 'unseen' }), 60_000))).toMatchObject({
      problem: 'unreachable',
    });
  });
});

describe("a record of Sluice's own", () => {
  const own = (parts: Partial<OwnRecord> = {}): OwnRecord => ({
    topic: 't',
    partition: null,
    key: null,
    value: null,
    headers: [['h', 'x']],
    ...parts,
  });

  it('goes to the partition that is given, through the queue of the commands there', async () => {
    const command = publisher.publish(makeRecord('1'), 10_000);
    await sends(1);
    const more = publisher.publish(makeRecord('2'), 10_000);
    const sending = publisher.send(own({ partition: 0, key: encoder.encode(KEY.one) }), 10_000);
    await settleAll();
    expect(sent).toHaveLength(1);
    sent[0]!.acknowledge(0);
    await sends(2);
    expect(sent[1]!.messages.map(({ key, value }) => [key && String(key), value && String(value)])).toEqual([
      [KEY.zero, '2'],
      [KEY.one, null],
    ]);
    sent[1]!.acknowledge(1);
    await expect(sending).resolves.toEqual({ partition: 0, offset: 2n });
    await Promise.all([command, more]);
  });

  it('goes by its key where none is given, and without a key to each partition in turn', async () => {
    const keyed = publisher.send(own({ key: encoder.encode(KEY.one) }), 10_000);
    await sends(1);
    expect(sent[0]!.messages[0]!.partition).toBe(1);
    sent[0]!.acknowledge(0);
    await keyed;
    const unkeyed = [1, 2, 3, 4].map(() => publisher.send(own(), 10_000));
    await sends(3);
    expect(new Set(sent.slice(1).map(({ messages }) => messages[0]!.partition))).toEqual(new Set([0, 1]));
    for (const each of sent.slice(1)) each.acknowledge(0);
    expect((await Promise.all(unkeyed)).map(({ partition }) => partition).sort()).toEqual([0, 0, 1, 1]);
  });

  it('for a partition that is not there is refused for good, and nothing was sent', async () => {
    const error = await failureOf(publisher.send(own({ partition: 2 }), 10_000));
    expect(error).toMatchObject({ problem: 'unknown_topic', certainlyNotSent: true, definite: true });
    expect(error?.message).toMatch(/no partition 2/);
    expect(sent).toEqual([]);
  });

  it('that is too large fails alone and for good', async () => {
    const first = publisher.publish(makeRecord('1'), 60_000);
    await sends(1);
    const large = failureOf(publisher.send(own({ partition: 0, value: encoder.encode('large') }), 60_000));
    const beside = publisher.publish(makeRecord('2'), 60_000);
    await settleAll();
    sent[0]!.acknowledge(0);
    await sends(2);
    sent[1]!.fail(tooLarge(), { encoded: true });
    await sends(3);
    sent[2]!.fail(tooLarge(), { encoded: true });
    await sends(4);
    sent[3]!.acknowledge(1);
    expect(await large).toMatchObject({ problem: 'too_large', certainlyNotSent: true, definite: true });
    await Promise.all([first, beside]);
  });
});

describe('stopping', () => {
  it('waits for acks under way, tells the rest what became of them, and leaves no timer', async () => {
    const acked = publisher.publish(makeRecord('1'), 60_000);
    await sends(1);
    const open = failureOf(publisher.publish(makeRecord('2', { key: KEY.one }), 60_000));
    await sends(2);
    sent[1]!.encode();
    const behind = failureOf(publisher.publish(makeRecord('3', { key: KEY.one }), 60_000));
    const stopped = publisher.stop(1000);
    sent[0]!.acknowledge(0);
    await acked;
    clock.advance(1000);
    await stopped;
    expect(await open).toMatchObject({ problem: 'unreachable', certainlyNotSent: false });
    expect(await behind).toMatchObject({ problem: 'unreachable', certainlyNotSent: true });
    expect(await failureOf(publisher.publish(makeRecord('4'), 60_000))).toMatchObject({ certainlyNotSent: true });
    expect(clock.pendingTimers).toBe(0);
  });
});
