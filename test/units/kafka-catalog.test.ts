import { createRequire } from 'node:module';
import type { Admin } from 'kafkajs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TopicCatalog } from '../../src/channel/kafka-catalog.ts';
import { FakeClock } from '../support/fake-clock.ts';

const load = createRequire(import.meta.url);
const { createErrorFromCode }: { createErrorFromCode: (code: number) => Error } = load('kafkajs/src/protocol/error');
const unknownTopic = () => createErrorFromCode(3);
const partitions = [{ partitionId: 0, leader: 1, replicas: [1], isr: [1], partitionErrorCode: 0 }];

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
});
