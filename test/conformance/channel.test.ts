// One suite for both channels: what holds on Kafka holds in the process, and the other way round.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { partitionOfKey } from '../../src/channel/partition.ts';
import type { CommandRecord, PublishError, RecordHeaders } from '../../src/operations/channel-ports.ts';
import { formatCorrelation } from '../../src/operations/correlation.ts';
import type { ReplyBatch } from '../../src/replies/ports.ts';
import { IdSource } from '../../src/runtime/ids.ts';
import type { ChannelHarness, HeaderList } from '../support/channel-harness.ts';
import { openKafkaHarness } from '../support/kafka-channel.ts';
import { openMemoryHarness } from '../support/memory-channel.ts';
import { describeWithKafka } from '../support/real-parts.ts';

const encoder = new TextEncoder();
const ids = new IdSource(() => Date.now());
const soonMs = () => performance.now() + 10_000;
const timeout = 10_000;

function makeRecord(
  topic: string,
  change: { key?: string; value?: string; headers?: RecordHeaders } = {},
): CommandRecord {
  return {
    topic,
    key: encoder.encode(change.key ?? 'key'),
    value: encoder.encode(change.value ?? '{}'),
    headers: change.headers ?? [],
  };
}

function makeReply(text: string, more: HeaderList = []): { headers: HeaderList; value: Uint8Array } {
  const correlation = formatCorrelation({ operationId: ids.next(), homePartition: 0, unrecordedBy: 'boot' });
  return { headers: [['kafka_correlationId', encoder.encode(correlation)], ...more], value: encoder.encode(text) };
}

const textsOf = (batches: readonly ReplyBatch[]) =>
  batches.flatMap((batch) => batch.replies.map((reply) => Buffer.from(reply.value ?? []).toString()));

function describeChannel(open: () => Promise<ChannelHarness>): void {
  let harness: ChannelHarness;
  const batches: ReplyBatch[] = [];
  /** Set by a test that wants a batch to take its time. */
  let hold: Promise<void> | null = null;
  const batchesOf = (partition: number) => batches.filter((batch) => batch.partition === partition);

  beforeAll(async () => {
    harness = await open();
    await harness.channel.replies.start(async (batch) => {
      batches.push(batch);
      await hold;
    });
  });
  afterAll(() => harness.close());

  describe('publishing', () => {
    it('delivers key, value and the very headers, equal names and bytes included', async () => {
      const seen = await harness.watch(harness.commandTopic);
      const record = makeRecord(harness.commandTopic, {
        key: 'ключ',
        value: '{"a":"é"}',
        headers: [
          ['ce_id', 'x'],
          ['kafka_replyPartition', '5'],
          ['kafka_replyPartition', Uint8Array.of(0, 0, 0, 5)],
          ['empty', ''],
          ['text', 'ü'],
        ],
      });
      const receipt = await harness.channel.publisher.publish(record, soonMs());
      await expect
        .poll(() => seen.find((each) => each.key === 'ключ'), { timeout })
        .toEqual({
          ...receipt,
          key: 'ключ',
          value: '{"a":"é"}',
          headers: {
            ce_id: ['x'],
            kafka_replyPartition: ['5', '\u0000\u0000\u0000\u0005'],
            empty: [''],
            text: ['Ã¼'],
          },
        });
      expect(receipt.partition).toBe(partitionOfKey(encoder.encode('ключ'), 3));
    });

    it('keeps the order of a key among concurrent publishes, and tells each where it stands', async () => {
      const seen = await harness.watch(harness.commandTopic);
      const values = Array.from({ length: 1200 }, (_, index) => String(index));
      const receipts = await Promise.all(
        values.map((value) =>
          harness.channel.publisher.publish(makeRecord(harness.commandTopic, { key: 'ordered', value }), soonMs()),
        ),
      );
      const first = receipts[0]!.offset;
      expect(receipts.map((receipt) => receipt.offset - first)).toEqual(values.map(BigInt));
      await expect.poll(() => seen.filter((each) => each.key === 'ordered').length, { timeout }).toBe(1200);
      expect(seen.filter((each) => each.key === 'ordered').map((each) => each.value)).toEqual(values);
    });

    it('refuses a record that is over what the topic takes, before and at sending, and only that one', async () => {
      const large = makeRecord(harness.commandTopic, { key: 'large', value: 'x'.repeat(1_100_000) });
      expect(() => harness.channel.publisher.assertFits(large)).toThrow(
        expect.objectContaining({ name: 'Failure', code: 'REQUEST_TOO_LARGE', delivery: 'not_sent' }),
      );
      const outcomes = await Promise.allSettled([
        harness.channel.publisher.publish(makeRecord(harness.commandTopic, { key: 'large' }), soonMs()),
        harness.channel.publisher.publish(large, soonMs()),
        harness.channel.publisher.publish(makeRecord(harness.commandTopic, { key: 'large' }), soonMs()),
      ]);
      expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
      expect((outcomes[1] as PromiseRejectedResult).reason).toMatchObject({
        name: 'PublishError',
        problem: 'too_large',
        certainlyNotSent: true,
        definite: true,
      });
    });

    it('takes a record of the largest size that fits', async () => {
      const { publisher } = harness.channel;
      const fits = (length: number) => {
        try {
          publisher.assertFits(makeRecord(harness.commandTopic, { value: 'x'.repeat(length) }));
          return true;
        } catch {
          return false;
        }
      };
      let [low, high] = [0, 2_000_000];
      while (low + 1 < high) {
        const middle = (low + high) >> 1;
        if (fits(middle)) low = middle;
        else high = middle;
      }
      const record = makeRecord(harness.commandTopic, { value: 'x'.repeat(low) });
      await expect(publisher.publish(record, soonMs())).resolves.toHaveProperty('offset');
    });

    it('says of an unknown topic that nothing was sent', async () => {
      const error = await harness.channel.publisher
        .publish(makeRecord(`${harness.commandTopic}-unknown`), performance.now() + 500)
        .catch((reason: PublishError) => reason);
      expect(error).toMatchObject({ name: 'PublishError', problem: 'unknown_topic', certainlyNotSent: true });
    });
  });

  describe('replies', () => {
    it('come from adopted partitions only, in order, from the offset asked for', async () => {
      const texts = Array.from({ length: 50 }, (_, index) => `a${index}`);
      await harness.reply(
        0,
        texts.map((text) => makeReply(text)),
      );
      await harness.reply(1, [makeReply('not asked for')]);
      const { start } = (await harness.channel.replies.bounds([0])).get(0)!;
      harness.channel.replies.adopt(0, start + 10n);
      await expect.poll(() => textsOf(batchesOf(0)).length, { timeout }).toBe(40);
      expect(textsOf(batchesOf(0))).toEqual(texts.slice(10));
      expect(batchesOf(1)).toEqual([]);
      expect(batchesOf(0).at(-1)?.nextOffset).toBe(start + 50n);
      expect(batchesOf(0)[0]?.replies[0]?.position).toEqual({
        topic: harness.replyTopic,
        partition: 0,
        offset: start + 10n,
      });
    });

    it('tell the first and past-the-last offset of each partition', async () => {
      expect(await harness.channel.replies.partitions()).toEqual([0, 1, 2, 3]);
      const before = await harness.channel.replies.bounds([0, 3]);
      expect(before.get(3)).toEqual({ start: 0n, end: 0n });
      await harness.reply(3, [makeReply('x'), makeReply('y')]);
      expect((await harness.channel.replies.bounds([3])).get(3)).toEqual({ start: 0n, end: 2n });
    });

    it('are given again after a partition was adopted anew, and not after it was abandoned', async () => {
      harness.channel.replies.adopt(1, 0n);
      await expect.poll(() => textsOf(batchesOf(1)), { timeout }).toEqual(['not asked for']);
      harness.channel.replies.adopt(1, 0n);
      await expect.poll(() => textsOf(batchesOf(1)), { timeout }).toEqual(['not asked for', 'not asked for']);
      harness.channel.replies.abandon(1);
      await harness.reply(1, [makeReply('after abandon')]);
      await harness.reply(0, [makeReply('marker')]);
      await expect.poll(() => textsOf(batchesOf(0)), { timeout }).toContain('marker');
      expect(textsOf(batchesOf(1))).not.toContain('after abandon');
      harness.channel.replies.adopt(1, 1n);
      await expect.poll(() => textsOf(batchesOf(1)), { timeout }).toContain('after abandon');
      expect(textsOf(batchesOf(1)).filter((text) => text === 'not asked for')).toHaveLength(2);
    });

    it('of one partition wait for the batch before, others do not', async () => {
      harness.channel.replies.adopt(2, 0n);
      let release = () => {};
      hold = new Promise((resolve) => {
        release = resolve;
      });
      await harness.reply(2, [makeReply('first')]);
      await expect.poll(() => textsOf(batchesOf(2)), { timeout }).toEqual(['first']);
      hold = null;
      await harness.reply(2, [makeReply('second')]);
      await harness.reply(0, [makeReply('meanwhile')]);
      await expect.poll(() => textsOf(batchesOf(0)), { timeout }).toContain('meanwhile');
      expect(textsOf(batchesOf(2))).toEqual(['first']);
      release();
      await expect.poll(() => textsOf(batchesOf(2)), { timeout }).toEqual(['first', 'second']);
    });

    it('that cannot be read stand beside those that can, and the position passes them', async () => {
      const { end } = (await harness.channel.replies.bounds([0])).get(0)!;
      await harness.reply(0, [
        { headers: [], value: encoder.encode('from a stranger') },
        makeReply('odd', [['sluice-kind', encoder.encode('perhaps')]]),
        makeReply('x'.repeat(100_001)),
        makeReply('fine'),
      ]);
      await expect.poll(() => batchesOf(0).at(-1)?.nextOffset, { timeout }).toBe(end + 4n);
      const unreadable = batchesOf(0).flatMap((batch) => batch.unreadable);
      expect(
        unreadable.map(({ code, position, correlation }) => [code, position.offset, correlation !== null]),
      ).toEqual([
        ['REPLY_INVALID', end, false],
        ['REPLY_INVALID', end + 1n, true],
        ['RESULT_TOO_LARGE', end + 2n, true],
      ]);
      expect(textsOf(batchesOf(0)).at(-1)).toBe('fine');
    });
  });

  it('is well, and says so', () => {
    expect(harness.channel.replies.trouble()).toBeNull();
    expect(harness.channel.degraded()).toBeNull();
  });
}

describe('the channel in the process', () => describeChannel(openMemoryHarness));

describeWithKafka('the channel on Kafka', (brokers) => describeChannel(() => openKafkaHarness(brokers)));
