import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import kafkajs, { type CompressionTypes as CompressionType } from 'kafkajs';
import { MAX_UNPACKED_BYTES } from './growing-bytes.ts';
import { unpackLz4 } from './lz4.ts';
import { unpackSnappy } from './snappy.ts';

// Node finds no names of their own for these two in kafkajs.
const { CompressionCodecs, CompressionTypes } = kafkajs;

/** What kafkajs 2.2.4 asks of a codec. */
interface KafkaCodec {
  compress(encoder: { buffer: Buffer }): Promise<Buffer>;
  decompress(buffer: Buffer): Promise<Buffer>;
}

const packZstd = promisify(zstdCompress);
const unpackZstd = promisify(zstdDecompress);

const unpack = (packed: Buffer) => unpackZstd(packed, { maxOutputLength: MAX_UNPACKED_BYTES });

/** A worker never packs by these: its replies are sent as they are. */
async function refuse(): Promise<never> {
  throw new Error('the SDK reads snappy and LZ4 and does not write them');
}

const zstd: KafkaCodec = { compress: ({ buffer }) => packZstd(buffer), decompress: unpack };
const snappy: KafkaCodec = { compress: refuse, decompress: async (packed) => unpackSnappy(packed) };
const lz4: KafkaCodec = { compress: refuse, decompress: async (packed) => unpackLz4(packed) };

/**
 * kafkajs reads gzip alone: a record in another codec, which its producer or its topic may choose, ends the consumer. The
 * registry is one a process: what somebody else has put there stays.
 */
export function registerCodecs(): void {
  const missing: [CompressionType, KafkaCodec][] = [
    [CompressionTypes.ZSTD, zstd],
    [CompressionTypes.Snappy, snappy],
    [CompressionTypes.LZ4, lz4],
  ];
  const registry = CompressionCodecs as Record<CompressionType, () => unknown>;
  for (const [type, codec] of missing) if (!isThere(registry[type])) registry[type] = () => codec;
}

/** In the place of a codec that it lacks kafkajs has a function that throws. */
function isThere(create: (() => unknown) | undefined): boolean {
  try {
    return create?.() !== undefined;
  } catch {
    return false;
  }
}
