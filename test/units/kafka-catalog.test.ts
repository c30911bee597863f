import { createRequire } from 'node:module';
import type { Admin } from 'kafkajs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TopicCatalog } from '../../src/channel/kafka-catalog.ts';
import { FakeClock } from '../support/fake-clock.ts';

const load = createRequire(import.meta.url);
const { createErrorFromCode }: { createErrorFromCode: (code: number) => Error } = load('kafkajs/src/protocol/error');
const UNKNOWN_TOPIC = 3;
const TOPIC_NOT_AUTHORIZED = 29;
const unknownTopic = () => createErrorFromCode(UNKNOWN_TOPIC);
const partitions = [{ partitionId: 0, leader: 1, replicas: [1], isr: [1], partitionErrorCode: 0 }];

/** Lets promises run out. */
const settleAll = async () => {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe('how long a topic has been refused', () => {
  let clock: FakeClock;
  let catalog: TopicCatalog;
  /** What the brokers answer, and how long they take for it. */
  let answer: () => Promise<object>;

  beforeEach(() => {
    clock = new FakeClock();
    answer = () => Promise.reject(unknownTopic());
    const admin: Pick<Admin, 'fetchTopicMetadata'> = {
      fetchTopicMetadata: (async () => answer()) as unknown as Admin['fetchTopicMetadata'],
    };
    catalog = new TopicCatalog({ ask: (question) => question(admin as Admin) }, clock);
  });
  afterEach(() => catalog.close());

  const refusedForMs = async (): Promise<number> =>
    catalog.lookUp('t').then(
      () => -1,
      (error) => error.forMs,
    );

  it('is counted over answers that follow one another', async () => {
    const seen: number[] = [];
    for (let round = 0; round < 4; round += 1) {
      seen.push(await refusedForMs());
      clock.advance(10_000);
    }
    expect(seen).toEqual([0, 10_000, 20_000, 30_000]);
  });

  it('begins anew after a silence: two answers an hour apart say nothing of the hour', async () => {
    expect(await refusedForMs()).toBe(0);
    clock.advance(3_600_000);
    expect(await refusedForMs()).toBe(0);
    clock.advance(10_001);
    expect(await refusedForMs()).toBe(0);
  });

  it('goes on where the brokers are slow to answer: the silence ends with the question', async () => {
    await refusedForMs();
    clock.advance(5_000);
    answer = async () => {
      clock.advance(20_000);
      throw unknownTopic();
    };
    expect(await refusedForMs()).toBe(25_000);
  });

  it('ends with the first answer that knows the topic', async () => {
    await refusedForMs();
    clock.advance(5_000);
    answer = async () => ({ topics: [{ name: 't', partitions }] });
    expect(await refusedForMs()).toBe(-1);
    clock.advance(1_000);
    answer = () => Promise.reject(unknownTopic());
    expect(await refusedForMs()).toBe(0);
  });

  it('is not made longer by what the catalog asks of itself', async () => {
    catalog.useTopics(['t']);
    let asked = 0;
    answer = () => {
      asked += 1;
      return Promise.reject(unknownTopic());
    };
    await refusedForMs();
    for (let round = 0; round < 6; round += 1) {
      clock.advance(10_000);
      await settleAll();
    }
    expect(asked).toBeGreaterThan(5);
    // A minute between two questions that a record asked.
    expect(await refusedForMs()).toBe(0);
  });
});

describe('a topic in use that the brokers refuse', () => {
  let clock: FakeClock;
  let catalog: TopicCatalog;
  let asked: string[];
  /** Refused with that code of the protocol. */
  let refusals: Map<string, number>;

  beforeEach(() => {
    clock = new FakeClock();
    asked = [];
    refusals = new Map();
    const admin = {
      fetchTopicMetadata: async ({ topics: [name] }: { topics: string[] }) => {
        asked.push(name!);
        const code = refusals.get(name!);
        if (code !== undefined) throw createErrorFromCode(code);
        return { topics: [{ name, partitions }] };
      },
    };
    catalog = new TopicCatalog({ ask: (question) => question(admin as unknown as Admin) }, clock);
  });
  afterEach(() => {
    catalog.close();
    expect(clock.pendingTimers).toBe(0);
  });

  const ask = (topic: string) => catalog.lookUp(topic).catch(() => null);
  const pass = async (byMs: number) => {
    for (let leftMs = byMs; leftMs > 0; leftMs -= 10_000) {
      clock.advance(10_000);
      await settleAll();
    }
  };

  it('is known to be so, without a record for it, until an answer finds it', async () => {
    catalog.useTopics(['t', 'well']);
    await Promise.all([ask('t'), ask('well')]);
    expect(catalog.refused()).toEqual([]);
    refusals.set('t', UNKNOWN_TOPIC);
    await pass(60_000);
    expect(catalog.refused()).toEqual([{ topic: 't', message: 'there is no topic t' }]);
    await pass(3_600_000);
    expect(catalog.refused()).toHaveLength(1);
    refusals.clear();
    await pass(10_000);
    expect(catalog.refused()).toEqual([]);
    expect(catalog.known('t')).toMatchObject({ partitionCount: 1 });
  });

  it('is told of with what the brokers say last', async () => {
    catalog.useTopics(['t']);
    refusals.set('t', UNKNOWN_TOPIC);
    await ask('t');
    refusals.set('t', TOPIC_NOT_AUTHORIZED);
    await pass(10_000);
    expect(catalog.refused()).toEqual([{ topic: 't', message: 'this gateway may not use topic t' }]);
  });

  it('is asked about by itself, and where nothing in use is refused nothing is', async () => {
    catalog.useTopics(['t']);
    for (const topic of ['t', 'of-another-version']) refusals.set(topic, UNKNOWN_TOPIC);
    await Promise.all([ask('t'), ask('of-another-version')]);
    asked = [];
    await pass(30_000);
    expect(asked).toEqual(['t', 't', 't']);
    expect(catalog.refused().map(({ topic }) => topic)).toEqual(['t']);
    refusals.delete('t');
    await pass(10_000);
    expect(clock.pendingTimers).toBe(1); // That of the minute.
  });
});
