import { createMemoryChannel } from '../../src/channel/memory.ts';
import { MemoryBroker } from '../../src/channel/memory-broker.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { type ChannelHarness, groupHeaders, type PlainRecord } from './channel-harness.ts';

export async function openMemoryHarness(): Promise<ChannelHarness> {
  let watchers = 0;
  const broker = new MemoryBroker({ clock: systemClock });
  const channel = createMemoryChannel({
    broker,
    replyTopic: 'replies',
    deadLetterTopic: 'dead-letters',
    controlTopic: 'control',
    eventsTopic: 'events',
    replyPartitions: 4,
    commandPartitions: 3,
    maxResultBytes: 100_000,
    logger: silentLogger,
  });
  await channel.ensureTopics(['commands']);
  return {
    channel,
    replyTopic: 'replies',
    deadLetterTopic: 'dead-letters',
    commandTopic: 'commands',
    async watch(topic) {
      const seen: PlainRecord[] = [];
      watchers += 1;
      broker.subscribe({
        topics: [topic],
        group: `watch-${watchers}`,
        onRecords: (records) => {
          for (const { partition, offset, key, value, headers } of records) {
            seen.push({
              partition,
              offset,
              key: key && Buffer.from(key).toString(),
              value: value && Buffer.from(value).toString(),
              headers: groupHeaders(headers),
            });
          }
        },
      });
      return seen;
    },
    async reply(partition, records) {
      for (const record of records) broker.append('replies', partition, { key: null, ...record });
    },
    async commit(group, topic, partition, offset) {
      const subscription = broker.subscribe({ group, topics: [topic], onRecords: () => undefined });
      await subscription.commit([{ topic, partition, offset }]);
      await subscription.close();
    },
    async close() {
      await channel.stop();
      await broker.close();
    },
  };
}
