import { randomBytes } from 'node:crypto';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import lz4 from 'lz4-napi';
import snappy from 'snappy';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeWithKafka, uniqueName } from '../../test/support/real-parts.ts';
import { toKafkaHeaders } from '../src/kafka-sender.ts';
import { kafkaTransport } from '../src/kafka-transport.ts';
import { silentLogger } from '../src/log.ts';
import { unpackLz4 } from '../src/lz4.ts';
import { unpackSnappy } from '../src/snappy.ts';
import type { WorkerTransport } from '../src/transport.ts';
import { createWorker } from '../src/worker.ts';
import { METHOD, TOPIC, toRecord } from './support/bench.ts';
import { createTopics } from './support/kafka-topics.ts';

/** What compresses well, badly, not at all, in overlapping copies, over several blocks. */
const samples: readonly Buffer[] = [
  Buffer.alloc(0),
  Buffer.from('a'),
  Buffer.from('abcabcabcabcabcabcabcabcabcabcabcabcabcabc'),
  Buffer.alloc(100_000, 'x'),
  randomBytes(70_000),
  Buffer.from(JSON.stringify(Array.from({ length: 20_000 }, (_, n) => ({ n, sku: `BOOK-${n % 97}`, text: 'größer' })))),
];

describe('what another implementation has packed', () => {
  test('as snappy is unpacked, bare and in the frame of the Java client', async () => {
    for (const sample of samples) {
      const packed = await snappy.compress(sample);
      expect(unpackSnappy(packed).equals(sample)).toBe(true);
      const halves = [sample.subarray(0, sample.length >> 1), sample.subarray(sample.length >> 1)];
      const blocks = await Promise.all(halves.map((half) => snappy.compress(half)));
      const header = Buffer.from('82534e41505059000000000100000001', 'hex');
      const framed = Buffer.concat([header, ...blocks.flatMap((block) => [lengthOf(block), block])]);
      expect(unpackSnappy(framed).equals(sample)).toBe(true);
    }
  });

  test('as LZ4 frames is unpacked', async () => {
    for (const sample of samples) {
      const packed = await lz4.compressFrame(sample);
      expect(unpackLz4(packed).equals(sample)).toBe(true);
      expect(unpackLz4(Buffer.concat([packed, packed])).equals(Buffer.concat([sample, sample]))).toBe(true);
    }
  });

  test('and is broken, is an error and never ends elsewhere', async () => {
    const sample = samples.at(-1) as Buffer;
    for (const [pack, unpack] of [
      [snappy.compress, unpackSnappy],
      [lz4.compressFrame, unpackLz4],
    ] as const) {
      const packed = await pack(sample);
      for (const length of [1, 5, 100, packed.length >> 1]) {
        expect(() => unpack(packed.subarray(0, length))).toThrow(RangeError);
      }
    }
    // Says of itself that it unpacks to 4 GB.
    expect(() => unpackSnappy(Buffer.from('ffffffff0f00', 'hex'))).toThrow('unpacks to more than');
  });
});

describeWithKafka('a topic whose records are packed', (brokers) => {
  const kafka = new Kafka({ brokers, logLevel: logLevel.NOTHING });
  const stops: (() => Promise<void>)[] = [];
  let admin: Admin;

  beforeAll(async () => {
    admin = kafka.admin();
    await admin.connect();
  });

  afterAll(async () => {
    await Promise.all(stops.map((stop) => stop()));
    await admin?.disconnect();
  });

  test.each(['snappy', 'lz4', 'zstd', 'gzip'])(
    'as %s, by the broker itself, is served',
    async (codec) => {
      const namespace = uniqueName(codec);
      const topic = `${namespace}.${TOPIC}`;
      const configEntries = [{ name: 'compression.type', value: codec }];
      await createTopics(admin, [{ topic, numPartitions: 1, configEntries }]);
      const transport: WorkerTransport = kafkaTransport({ brokers, logger: silentLogger, maxWaitMs: 100 });
      const worker = createWorker({ transport, group: 'shop', namespace, logger: silentLogger });
      stops.push(() => worker.stop({ timeoutMs: 1_000 }).then(() => transport.close()));
      const seen: unknown[] = [];
      worker.handle(METHOD, (request) => void seen.push(request));
      await worker.start();
      const texts = ['one', 'two'].map((id) => ({ id, value: { text: `${id} `.repeat(500) }, oneWay: true, topic }));
      const messages = texts.map(toRecord).map(({ key, value, headers }) => ({
        key: Buffer.from(key ?? []),
        value: Buffer.from(value ?? []),
        headers: toKafkaHeaders(headers),
      }));
      const producer = kafka.producer({ allowAutoTopicCreation: false });
      await producer.connect();
      await producer.send({ topic, messages });
      await producer.disconnect();
      await expect.poll(() => seen, { timeout: 30_000 }).toEqual(texts.map(({ value }) => value));
    },
    60_000,
  );
});

function lengthOf(block: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(block.length);
  return length;
}
