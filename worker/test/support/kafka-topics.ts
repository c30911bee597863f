import type { Admin, ITopicConfig } from 'kafkajs';
import { expect, vi } from 'vitest';

/** kafkajs's own wait for leaders fails on a broker that is busy and has not heard of the topic yet. */
export async function createTopics(admin: Admin, topics: ITopicConfig[]): Promise<void> {
  await admin.createTopics({ waitForLeaders: false, topics });
  const names = topics.map(({ topic }) => topic);
  const areLed = async () => {
    const found = await admin.fetchTopicMetadata({ topics: names }).catch(() => ({ topics: [] }));
    const led = found.topics.filter(
      ({ partitions }) => partitions.length > 0 && partitions.every((p) => p.leader >= 0),
    );
    return led.length === names.length;
  };
  await vi.waitFor(async () => expect(await areLed()).toBe(true), { timeout: 30_000 });
}
