import { GrowingBytes } from './growing-bytes.ts';

/** How Kafka's Java client frames snappy (xerial): this, two versions, then blocks with their length before them. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const XERIAL_HEADER_BYTES = 16;

/** Unpacks snappy as Kafka's clients write it: framed, or one bare block. @throws RangeError for what is broken */
export function unpackSnappy(packed: Buffer): Buffer {
  if (!packed.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) return unpackBlock(packed);
  const blocks: Buffer[] = [];
  for (let at = XERIAL_HEADER_BYTES; at < packed.length; ) {
    const length = packed.readInt32BE(at);
    if (length < 0 || at + 4 + length > packed.length) throw new RangeError('compressed batch: ends too early');
    blocks.push(unpackBlock(packed.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return Buffer.concat(blocks);
}

/** google/snappy, format_description.txt: the unpacked length, then literals and copies. */
function unpackBlock(packed: Buffer): Buffer {
  const { value: expected, next } = readVarint(packed);
  const output = new GrowingBytes(expected);
  for (let at = next; at < packed.length; ) {
    const tag = packed[at] as number;
    at = (tag & 3) === 0 ? copyLiteral(packed, at, output) : copyEarlier(packed, at, output);
  }
  const unpacked = output.finish();
  if (unpacked.length !== expected) throw new RangeError('compressed batch: has another length than it says');
  return unpacked;
}

/** Lengths up to 60 stand in the tag, longer ones in one to four bytes after it. */
function copyLiteral(packed: Buffer, at: number, output: GrowingBytes): number {
  const inTag = (packed[at] as number) >> 2;
  const lengthBytes = Math.max(inTag - 59, 0);
  const length = 1 + (lengthBytes === 0 ? inTag : packed.readUIntLE(at + 1, lengthBytes));
  const from = at + 1 + lengthBytes;
  output.append(packed, from, length);
  return from + length;
}

function copyEarlier(packed: Buffer, at: number, output: GrowingBytes): number {
  const tag = packed[at] as number;
  const kind = tag & 3;
  if (kind === 1) {
    output.repeat(((tag >> 5) << 8) | packed.readUInt8(at + 1), 4 + ((tag >> 2) & 7));
    return at + 2;
  }
  const distanceBytes = kind === 2 ? 2 : 4;
  output.repeat(packed.readUIntLE(at + 1, distanceBytes), 1 + (tag >> 2));
  return at + 1 + distanceBytes;
}

function readVarint(packed: Buffer): { value: number; next: number } {
  let value = 0;
  for (let at = 0; at < 5; at += 1) {
    const byte = packed.readUInt8(at);
    value += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return { value, next: at + 1 };
  }
  throw new RangeError('compressed batch: has no length');
}
