import type { Admin } from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { type TopicFacts, TopicRefusedError } from '../../src/channel/kafka-catalog.ts';
import {
  describeRefusedTopics,
  findReplyTopicProblems,
  findReplyTopicRisks,
  type KafkaTopicsDeps,
  prepareOwnTopics,
  prepareTopics,
} from '../../src/channel/kafka-topics.ts';
import { type Logger, silentLogger } from '../../src/runtime/log.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { makeKafkaConfig } from '../support/kafka-channel.ts';

const config = { ...makeKafkaConfig([]), replyTopic: 'replies' };
const facts: TopicFacts = { partitionCount: 4, brokerCount: 3, replicas: 3 };
const good = { 'cleanup.policy': 'delete', 'retention.ms': '604800000', 'min.insync.replicas': '2' };
const settings = (change: Record<string, string>) => new Map(Object.entries({ ...good, ...change }));

describe('the reply topic', () => {
  it.each([
    ['cleanup.policy', 'compact', /cleanup.policy is compact, expected delete/],
    ['cleanup.policy', 'compact,delete', /cleanup.policy is compact,delete/],
    ['retention.ms', '60000', /retention.ms is 60000, expected at least 3600000/],
    ['min.insync.replicas', '4', /min.insync.replicas is 4 with 3 replicas/],
  ])('is refused with %s %s', (name, value, expected) => {
    expect(findReplyTopicProblems(config, settings({ [name]: value }), facts)).toEqual([
      expect.stringMatching(expected),
    ]);
  });

  it('is taken as it should be, with endless retention, and where nothing may be seen of it', () => {
    expect(findReplyTopicProblems(config, settings({}), facts)).toEqual([]);
    expect(findReplyTopicProblems(config, settings({ 'retention.ms': '-1' }), facts)).toEqual([]);
    expect(findReplyTopicProblems(config, new Map(), facts)).toEqual([]);
    expect(findReplyTopicRisks(config, settings({}), facts)).toEqual([]);
  });

  it.each([
    [{ 'min.insync.replicas': '1' }, facts, /one broker/],
    [{ 'retention.bytes': '1000' }, facts, /push out/],
    [{}, { ...facts, replicas: 1 }, /one replica/],
    [{}, { ...facts, partitionCount: 3 }, /fewer than configured/],
  ])('is warned of with %j', (change, known, expected) => {
    expect(findReplyTopicRisks(config, settings(change as Record<string, string>), known)).toEqual([
      expect.stringMatching(expected),
    ]);
  });
});

describe('topics at start', () => {
  const missing = new TopicRefusedError('unknown_topic', 'there is no topic', 0, null);
  function makeDeps(known: string[], options: { createError?: Error } = {}) {
    const topics = new Set(known);
    const created: object[] = [];
    const warned: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (_, message) => void warned.push(message) };
    const admin = {
      createTopics: async (request: { topics: { topic: string }[] }) => {
        if (options.createError) throw options.createError;
        created.push(...request.topics);
        for (const { topic } of request.topics) topics.add(topic);
        return true;
      },
    };
    const deps: KafkaTopicsDeps = {
      clock: new FakeClock(),
      logger,
      catalog: {
        lookUp: async (topic: string) => (topics.has(topic) ? facts : Promise.reject(missing)),
        readSettings: async () => new Map(Object.entries(good)),
      },
      admin: { ask: (question) => question(admin as unknown as Admin) },
    };
    return { deps, created, warned };
  }

  it('are created where they are missing and that is allowed', async () => {
    const { deps, created } = makeDeps(['here']);
    await prepareTopics(config, ['here', 'there'], deps);
    expect(created).toEqual([
      {
        topic: 'replies',
        numPartitions: 4,
        replicationFactor: -1,
        configEntries: [
          { name: 'cleanup.policy', value: 'delete' },
          { name: 'retention.ms', value: '604800000' },
        ],
      },
      { topic: 'there', numPartitions: 3, replicationFactor: -1, configEntries: [] },
    ]);
  });

  it('are named with partitions and settings where Sluice may not create them', async () => {
    const { deps } = makeDeps([]);
    await expect(prepareTopics({ ...config, createTopics: false }, [], deps)).rejects.toMatchObject({
      name: 'ChannelSetupError',
      problems: [
        "topic replies (partitions 4, replication factor the brokers' default, cleanup.policy=delete, retention.ms=604800000): is missing, and create_topics is off; create it",
      ],
    });
  });

  it('are named where the brokers refuse to create them', async () => {
    const createError = Object.assign(new Error('not authorized'), { name: 'KafkaJSCreateTopicError' });
    const { deps } = makeDeps([], { createError });
    await expect(prepareTopics(config, [], deps)).rejects.toThrow(/replies .*could not be created \(not authorized\)/);
  });

  it('of commands are warned of, one by one: the others work', async () => {
    const { deps, warned } = makeDeps(['replies', 'here']);
    await prepareTopics({ ...config, createTopics: false }, ['gone', 'here'], deps);
    expect(warned).toEqual([expect.stringMatching(/topic gone \(partitions 3, .*is missing.*its commands fail/)]);
  });

  it('of commands may not be the reply topic', async () => {
    const { deps } = makeDeps(['replies']);
    await expect(prepareTopics(config, ['replies'], deps)).rejects.toThrow(/cannot carry commands too/);
  });

  it('of its own are all different', async () => {
    const { deps } = makeDeps(['replies']);
    const change = { deadLetterTopic: 'one', controlTopic: 'one', eventsTopic: 'replies' };
    await expect(prepareTopics({ ...config, ...change }, ['one'], deps)).rejects.toMatchObject({
      problems: [
        'topic one: carries dead letters and cannot carry commands too',
        'topic one: carries cancellations and cannot carry commands too',
        'topic one: carries dead letters and cannot carry cancellations too',
        'topic replies: carries replies and cannot carry lifecycle events too',
      ],
    });
  });

  const own = { ...config, deadLetterTopic: 'dead', controlTopic: 'control', eventsTopic: 'events' };

  it('of dead letters, cancellations and lifecycle events are created, the last where they are asked for', async () => {
    const { deps, created } = makeDeps([]);
    await expect(prepareOwnTopics(own, deps)).resolves.toEqual([]);
    const policy = { name: 'cleanup.policy', value: 'delete' };
    expect(created).toEqual([
      {
        topic: 'dead',
        numPartitions: 1,
        replicationFactor: -1,
        configEntries: [
          policy,
          { name: 'retention.ms', value: '2592000000' },
          { name: 'max.message.bytes', value: '2097152' },
        ],
      },
      {
        topic: 'control',
        numPartitions: 1,
        replicationFactor: -1,
        configEntries: [policy, { name: 'retention.ms', value: '86400000' }],
      },
      { topic: 'events', numPartitions: 3, replicationFactor: -1, configEntries: [policy] },
    ]);
    const without = makeDeps([]);
    await prepareOwnTopics({ ...own, eventsTopic: null }, without.deps);
    expect(without.created).toHaveLength(2);
  });

  it('of dead letters, cancellations and lifecycle events are told of, one by one, where they cannot be made', async () => {
    const { deps } = makeDeps(['control']);
    await expect(prepareOwnTopics({ ...own, createTopics: false }, deps)).resolves.toEqual([
      expect.stringMatching(/^topic dead \(partitions 1, .*create_topics is off; create it; dead letters wait until/),
      expect.stringMatching(/^topic events .*lifecycle events wait until it is there$/),
    ]);
  });
});

describe('topics that the brokers refuse', () => {
  const named = { ...makeKafkaConfig([]), replyTopic: 'replies', deadLetterTopic: 'dead' };
  const refuse = (...topics: string[]) => topics.map((topic) => ({ topic, message: `there is no topic ${topic}` }));

  it.each([
    [refuse(), null],
    [refuse('orders'), 'there is no topic orders: its commands are unavailable'],
    [refuse('dead'), 'there is no topic dead: dead letters wait until it is there'],
    [refuse('replies'), 'there is no topic replies: no replies can come'],
  ])('are told of with what does not work without them: %j', (refused, text) => {
    expect(describeRefusedTopics(refused, named)).toBe(text);
  });

  it('are counted and not all named', () => {
    const many = Array.from({ length: 300 }, (_, number) => `topic-${number}`);
    expect(describeRefusedTopics(refuse('orders', ...many), named)).toBe(
      'there is no topic orders: its commands are unavailable; and so it is with 300 more topics',
    );
  });
});
