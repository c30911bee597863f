// What Sluice sends to topics of its own, and what it asks of workers' groups: the same on both channels.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deadLetterOfReply, rehomedReply } from '../../src/channel/own-records.ts';
import { partitionOfKey } from '../../src/channel/partition.ts';
import type { PublishError } from '../../src/operations/channel-ports.ts';
import { formatCorrelation } from '../../src/operations/correlation.ts';
import type { ReplyBatch } from '../../src/replies/ports.ts';
import type { ChannelHarness } from '../support/channel-harness.ts';
import { openKafkaHarness } from '../support/kafka-channel.ts';
import { openMemoryHarness } from '../support/memory-channel.ts';
import { newOperationId } from '../support/operations.ts';
import { describeWithKafka, uniqueName } from '../support/real-parts.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const soonMs = () => performance.now() + 10_000;
const timeout = 10_000;

function describeOwnRecords(open: () => Promise<ChannelHarness>): void {
  let harness: ChannelHarness;
  const batches: ReplyBatch[] = [];
  beforeAll(async () => {
    harness = await open();
    await harness.channel.replies.start((batch) => void batches.push(batch));
  });
  afterAll(() => harness.close());

  const correlation = (homePartition: number) =>
    bytes(formatCorrelation({ operationId: newOperationId(), homePartition, unrecordedBy: 'boot' }));

  it('a reply that came to the wrong partition is read at home as it came, and is known as sent on', async () => {
    harness.channel.replies.adopt(1, 0n);
    harness.channel.replies.adopt(2, 0n);
    const headers = [
      ['kafka_correlationId', correlation(2)],
      ['twice', bytes('1')],
      ['twice', bytes('2')],
    ] as const;
    await harness.reply(1, [{ headers, value: bytes('answer') }]);
    const at = (partition: number) => batches.find((batch) => batch.partition === partition)?.replies[0];
    await expect.poll(() => at(1), { timeout }).toBeDefined();
    const stray = at(1)!;
    expect(stray).toMatchObject({ isRehomed: false, correlation: { homePartition: 2 } });
    await harness.channel.sender.send(rehomedReply(stray.raw, harness.replyTopic, 2, stray.position), soonMs());
    await expect.poll(() => at(2), { timeout }).toBeDefined();
    expect(at(2)).toMatchObject({ isRehomed: true, kind: 'result', correlation: stray.correlation });
    expect(Buffer.from(at(2)!.value!).toString()).toBe('answer');
    const texts = at(2)!.raw.headers.map(([name, value]) => `${name}: ${Buffer.from(value)}`);
    expect(texts.slice(1)).toEqual(['twice: 1', 'twice: 2', `sluice-rehomed: 1/${stray.position.offset}`]);
  });

  it('a reply that cannot be read is dead-lettered as it came, with the reason', async () => {
    const seen = await harness.watch(harness.deadLetterTopic);
    harness.channel.replies.adopt(3, 0n);
    await harness.reply(3, [{ headers: [['kafka_correlationId', bytes('a stranger’s')]], value: bytes('junk') }]);
    const unreadable = () => batches.find((batch) => batch.partition === 3)?.unreadable[0];
    await expect.poll(unreadable, { timeout }).toBeDefined();
    await harness.channel.sender.send(deadLetterOfReply(unreadable()!, harness.deadLetterTopic), soonMs());
    await expect.poll(() => seen.length, { timeout }).toBe(1);
    expect(seen[0]).toMatchObject({
      key: null,
      value: 'junk',
      headers: {
        'sluice-dead-letter-code': ['REPLY_INVALID'],
        'sluice-dead-letter-topic': [harness.replyTopic],
        'sluice-dead-letter-partition': ['3'],
        'sluice-dead-letter-offset': ['0'],
      },
    });
  });

  it('a record of ours goes where its key belongs, also without a value', async () => {
    const seen = await harness.watch(harness.commandTopic);
    const record = { topic: harness.commandTopic, partition: null, key: bytes('k7'), value: null, headers: [] };
    const receipt = await harness.channel.sender.send(record, soonMs());
    expect(receipt.partition).toBe(partitionOfKey(bytes('k7'), 3));
    await expect.poll(() => seen.find((each) => each.key === 'k7'), { timeout }).toMatchObject({ value: null });
  });

  it('a record that is too large for its topic is refused alone, for good, and was not sent', async () => {
    const record = { topic: harness.commandTopic, partition: 1, key: null, value: bytes('x'), headers: [] };
    const outcomes = await Promise.allSettled(
      [record, { ...record, value: new Uint8Array(3_000_000) }, record].map((each) =>
        harness.channel.sender.send(each, soonMs()),
      ),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(outcomes[1]).toMatchObject({ reason: { problem: 'too_large', certainlyNotSent: true, definite: true } });
  });

  it('a record for a partition that is not there is refused for good', async () => {
    const error = await harness.channel.sender
      .send({ topic: harness.replyTopic, partition: 99, key: null, value: null, headers: [] }, soonMs())
      .catch((reason: PublishError) => reason);
    expect(error).toMatchObject({ problem: 'unknown_topic', certainlyNotSent: true, definite: true });
  });

  it('tells how far a group of workers has come, and nothing of what it has not committed', async () => {
    const group = uniqueName('workers');
    const committed = () => harness.channel.workers.committed(group, harness.commandTopic);
    expect(await committed()).toEqual(new Map());
    const record = { topic: harness.commandTopic, partition: 1, key: null, value: bytes('x'), headers: [] };
    const { offset } = await harness.channel.sender.send(record, soonMs());
    await harness.commit(group, harness.commandTopic, 1, offset + 1n);
    expect(await committed()).toEqual(new Map([[1, offset + 1n]]));
    expect(await harness.channel.workers.committed(group, harness.replyTopic)).toEqual(new Map());
    expect(await harness.channel.workers.committed(group, 'no such topic')).toEqual(new Map());
  });

  it('a partition is read a second time beside the first reader, where the channel keeps what was read', async () => {
    const { replies } = harness.channel;
    await harness.reply(
      0,
      ['a', 'b', 'c'].map((text) => ({
        headers: [['kafka_correlationId', correlation(0)]] as const,
        value: bytes(text),
      })),
    );
    replies.adopt(0, 0n);
    const first = () => batches.filter((batch) => batch.partition === 0).flatMap((batch) => batch.replies);
    await expect.poll(() => first().length, { timeout }).toBe(3);
    const again: ReplyBatch[] = [];
    const reread = replies.reread(0, 1n, (batch) => void again.push(batch));
    await expect.poll(() => again.at(-1)?.nextOffset, { timeout }).toBe(3n);
    expect(again.flatMap((batch) => batch.replies).map((reply) => reply.position.offset)).toEqual([1n, 2n]);
    await harness.reply(0, [{ headers: [['kafka_correlationId', correlation(0)]], value: bytes('d') }]);
    await expect.poll(() => [first().length, again.at(-1)?.nextOffset], { timeout }).toEqual([4, 4n]);
    await reread.stop();
    await harness.reply(0, [{ headers: [['kafka_correlationId', correlation(0)]], value: bytes('e') }]);
    await expect.poll(() => first().length, { timeout }).toBe(5);
    expect(again.at(-1)?.nextOffset).toBe(4n);
  });
}

describe('the channel in the process', () => describeOwnRecords(openMemoryHarness));

describeWithKafka('the channel on Kafka', (brokers) => describeOwnRecords(() => openKafkaHarness(brokers)));
