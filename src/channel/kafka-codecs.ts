import zlib from 'node:zlib';
import kafkajs from 'kafkajs';
import lz4 from 'lz4-napi';
import snappy from 'snappy';

const { CompressionTypes } = kafkajs;
const kafkaCodecs = kafkajs.CompressionCodecs as Record<number, () => Codec>;

/**
 * What a batch of replies may unfold to. A batch that passes it cannot be read, and stops its partition until its retention
 * is over; but it would take a worker of the house to make one, and the process would end otherwise.
 */
const MAX_BATCH_BYTES = 256 * 1024 * 1024;

/** What kafkajs gives to be compressed: its encoder. */
interface Encoder {
  readonly buffer: Buffer;
}

interface Codec {
  compress(encoder: Encoder): Promise<Buffer>;
  decompress(bytes: Buffer): Promise<Buffer>;
}

const CODECS: Readonly<Record<number, Codec>> = Object.freeze({
  [CompressionTypes.Snappy]: {
    compress: (encoder) => snappy.compress(encoder.buffer),
    decompress: async (bytes) => decompressSnappy(bytes),
  },
  [CompressionTypes.LZ4]: {
    compress: (encoder) => lz4.compressFrame(encoder.buffer),
    // Its ratio is bounded by its format, at 255 to 1, and so is what a request for replies fetches.
    decompress: (bytes) => lz4.decompressFrame(bytes),
  },
  [CompressionTypes.ZSTD]: {
    compress: async (encoder) => zlib.zstdCompressSync(encoder.buffer),
    decompress: async (bytes) => zlib.zstdDecompressSync(bytes, { maxOutputLength: MAX_BATCH_BYTES }),
  },
});

/**
 * kafkajs 2.2.4 has gzip built in and nothing else: one reply in another codec, or a `compression.type` on the topic, stops
 * its consumer for good. The codecs are kafkajs's for the whole process; to register them twice changes nothing.
 */
export function registerCodecs(): void {
  for (const [type, codec] of Object.entries(CODECS)) kafkaCodecs[Number(type)] = () => codec;
}

/** snappy-java, which Kafka's Java client uses, puts blocks of snappy into a frame of its own; others send one bare block. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
/** The magic, and two versions of four bytes. */
const XERIAL_HEADER_BYTES = 16;

/** Throws where the bytes are not snappy, or would unfold to too much. */
export function decompressSnappy(bytes: Buffer): Buffer {
  if (!bytes.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) return decompressBlock(bytes, MAX_BATCH_BYTES);
  const blocks: Buffer[] = [];
  let room = MAX_BATCH_BYTES;
  for (let offset = XERIAL_HEADER_BYTES; offset < bytes.length; ) {
    const end = offset + 4 + bytes.readUInt32BE(offset);
    if (end > bytes.length) throw new RangeError('a block of snappy is cut off');
    const block = decompressBlock(bytes.subarray(offset + 4, end), room);
    room -= block.length;
    blocks.push(block);
    offset = end;
  }
  return blocks.length === 1 ? (blocks[0] as Buffer) : Buffer.concat(blocks);
}

function decompressBlock(block: Buffer, maxBytes: number): Buffer {
  const sizeBytes = readSize(block);
  if (sizeBytes > maxBytes) throw new RangeError(`a batch would have more than ${MAX_BATCH_BYTES} bytes`);
  return snappy.uncompressSync(block, { asBuffer: true }) as Buffer;
}

/** A block of snappy begins with its length as a varint (format_description.txt section 1). */
function readSize(block: Buffer): number {
  let sizeBytes = 0;
  for (let index = 0; index < 5; index += 1) {
    const byte = block[index] ?? 0;
    sizeBytes += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return sizeBytes;
  }
  throw new RangeError('this is not snappy');
}
