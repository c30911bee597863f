// A cluster that has not heard yet of what it was told, or is not up yet, played by a stand-in.
import type { Admin, Kafka } from 'kafkajs';
import { beforeEach, describe, expect, test } from 'vitest';
import { isTransient } from '../src/kafka-errors.ts';
import { KafkaTopics, readTopicOffsets } from '../src/kafka-topics.ts';
import type { Logger } from '../src/log.ts';
import { ManualClock, turn } from './support/manual-clock.ts';

function kafkaError(fields: { name?: string; type?: string; retriable?: boolean; topic?: string; errors?: Error[] }) {
  return Object.assign(new Error(fields.type ?? fields.name), { name: 'KafkaJSProtocolError' }, fields);
}

const UNKNOWN_TOPIC = kafkaError({ type: 'UNKNOWN_TOPIC_OR_PARTITION', retriable: true });
const REFUSED = kafkaError({ name: 'KafkaJSConnectionError' });

/** Each question fails with the errors queued for it, then it is answered. */
class StandIn {
  readonly failures: { connect: Error[]; listTopics: Error[]; createTopics: Error[]; fetchTopicMetadata: Error[] } = {
    connect: [],
    listTopics: [],
    createTopics: [],
    fetchTopicMetadata: [],
  };
  readonly asked: string[] = [];
  readonly topics = new Set<string>();
  leaderless = 0;

  async connect() {
    this.#ask('connect');
  }
  async disconnect() {}
  async listTopics() {
    this.#ask('listTopics');
    return [...this.topics];
  }
  async createTopics({ topics }: { topics: { topic: string }[] }) {
    for (const { topic } of topics) this.topics.add(topic);
    this.#ask('createTopics');
    return true;
  }
  async fetchTopicMetadata({ topics }: { topics: string[] }) {
    this.#ask('fetchTopicMetadata');
    const leader = this.leaderless-- > 0 ? -1 : 1;
    return { topics: topics.map((name) => ({ name, partitions: [{ partitionId: 0, leader }] })) };
  }

  #ask(question: keyof StandIn['failures']) {
    this.asked.push(question);
    const failure = this.failures[question].shift();
    if (failure) throw failure;
  }
}

let admin: StandIn;
let clock: ManualClock;
let lines: string[];

beforeEach(() => {
  admin = new StandIn();
  clock = new ManualClock();
  lines = [];
});

function create(createTopics: false | { partitions: number } = { partitions: 2 }): KafkaTopics {
  const log = (level: string) => (_: object, message: string) => void lines.push(`${level} ${message}`);
  const logger: Logger = { debug() {}, info: log('info'), warn: log('warn'), error: log('error') };
  const kafka = { admin: () => admin as unknown as Admin } as Pick<Kafka, 'admin'>;
  return new KafkaTopics({ kafka, createTopics, startTimeoutMs: 20_000, clock, logger });
}

/** How `ensure` ends when as much time has passed as it can take. */
async function ensure(topics: KafkaTopics, byMs = 30_000): Promise<string> {
  const ended = topics.ensure(['t', 'u']).then(
    () => 'ready',
    (error: Error) => error.message,
  );
  await turn();
  await clock.advance(byMs);
  expect(clock.pendingTimers).toBe(0);
  return ended;
}

describe('topics at the start of a worker', () => {
  test('that were made and that the broker has not heard of yet are waited for, in silence', async () => {
    admin.failures.fetchTopicMetadata.push(UNKNOWN_TOPIC, UNKNOWN_TOPIC);
    admin.leaderless = 1;
    expect(await ensure(create())).toBe('ready');
    expect(admin.asked).toEqual(['connect', 'listTopics', 'createTopics', ...Array(4).fill('fetchTopicMetadata')]);
    expect(lines).toEqual([]);
  });

  test('that another process makes at the same time are no error, and are waited for as well', async () => {
    const topic = (name: string) => kafkaError({ type: 'TOPIC_ALREADY_EXISTS', retriable: false, topic: name });
    admin.failures.createTopics.push(kafkaError({ name: 'KafkaJSAggregateError', errors: [topic('t')] }));
    admin.failures.fetchTopicMetadata.push(UNKNOWN_TOPIC);
    expect(await ensure(create())).toBe('ready');
  });

  test('are asked for again while no broker is up, and a long wait is warned of', async () => {
    admin.failures.connect.push(...Array(8).fill(REFUSED));
    expect(await ensure(create())).toBe('ready');
    expect(new Set(lines)).toEqual(new Set(['warn reaching Kafka: not yet; it is tried again']));
  });

  test('are given up after a bounded time without a broker', async () => {
    admin.failures.connect.push(...Array(1_000).fill(REFUSED));
    expect(await ensure(create())).toBe('KafkaJSConnectionError');
    expect(admin.asked.length).toBeLessThan(15);
  });

  test('that are refused are named at once, with the reason', async () => {
    const errors = [kafkaError({ type: 'TOPIC_AUTHORIZATION_FAILED', retriable: false, topic: 'u' })];
    admin.failures.createTopics.push(kafkaError({ name: 'KafkaJSAggregateError', errors }));
    expect(await ensure(create(), 0)).toBe('topics missing that could not be made: u (TOPIC_AUTHORIZATION_FAILED)');
  });

  test('are no longer waited for once the transport is closed', async () => {
    admin.failures.connect.push(...Array(1_000).fill(REFUSED));
    const topics = create();
    const ended = topics.ensure(['t']).catch((error: Error) => error.message);
    await turn();
    await clock.advance(1_000);
    await topics.close();
    expect(await ended).toBe('KafkaJSConnectionError');
    expect(clock.pendingTimers).toBe(0);
  });
});

test('a TypeError of kafkajs, for a topic that has no leader yet, is a reason to try again', async () => {
  const leaderless = {
    fetchTopicOffsets: () => Promise.reject(new TypeError("Cannot destructure property 'partitions'")),
  };
  const error = await readTopicOffsets(leaderless, 'orders').catch((reason: unknown) => reason);
  expect(isTransient(error)).toBe(true);
  const refused = { fetchTopicOffsets: () => Promise.reject(new Error('no')) };
  expect(isTransient(await readTopicOffsets(refused, 'orders').catch((reason: unknown) => reason))).toBe(false);
});
