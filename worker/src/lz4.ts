import { GrowingBytes } from './growing-bytes.ts';

const MAGIC = 0x184d2204;
const SKIPPABLE = 0x184d2a50;
const FIRST_BYTES = 64 * 1024;

/**
 * Unpacks LZ4 frames (lz4_Frame_format.md 1.6), as Kafka's clients write them since message format 1. Checksums are
 * passed over: the record batch around them has one of its own. @throws RangeError for what is broken
 */
export function unpackLz4(packed: Buffer): Buffer {
  const output = new GrowingBytes(Math.max(packed.length * 3, FIRST_BYTES));
  for (let at = 0; at < packed.length; ) {
    const magic = packed.readUInt32LE(at);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE) at += 8 + packed.readUInt32LE(at + 4);
    else if (magic === MAGIC) at = unpackFrame(packed, at + 4, output);
    else throw new RangeError('compressed batch: is no LZ4 frame');
  }
  return output.finish();
}

/** Blocks may refer to those before them, so all share one output. Returns where the frame ends. */
function unpackFrame(packed: Buffer, start: number, output: GrowingBytes): number {
  const flags = packed.readUInt8(start);
  const hasBlockChecksum = (flags & 0x10) !== 0;
  const hasContentSize = (flags & 0x08) !== 0;
  const hasContentChecksum = (flags & 0x04) !== 0;
  const hasDictionary = (flags & 0x01) !== 0;
  // Flags, block size, header checksum.
  let at = start + 2 + (hasContentSize ? 8 : 0) + (hasDictionary ? 4 : 0) + 1;
  for (;;) {
    const size = packed.readUInt32LE(at);
    at += 4;
    if (size === 0) return at + (hasContentChecksum ? 4 : 0);
    const length = size & 0x7fffffff;
    if (size >>> 31 === 1) output.append(packed, at, length);
    else unpackBlock(packed, at, at + length, output);
    at += length + (hasBlockChecksum ? 4 : 0);
  }
}

/** lz4_Block_format.md: sequences of literals and a copy; the last one has no copy. */
function unpackBlock(packed: Buffer, start: number, end: number, output: GrowingBytes): void {
  if (end > packed.length) throw new RangeError('compressed batch: ends too early');
  for (let at = start; at < end; ) {
    const token = packed.readUInt8(at);
    const literals = readLength(packed, at + 1, token >> 4);
    output.append(packed, literals.next, literals.length);
    at = literals.next + literals.length;
    if (at >= end) return;
    const distance = packed.readUInt16LE(at);
    const copy = readLength(packed, at + 2, token & 15);
    output.repeat(distance, copy.length + 4);
    at = copy.next;
  }
}

/** 15 goes on in bytes that are added up, as long as they are 255. */
function readLength(packed: Buffer, start: number, inToken: number): { length: number; next: number } {
  if (inToken < 15) return { length: inToken, next: start };
  let length = 15;
  for (let at = start; ; at += 1) {
    const more = packed.readUInt8(at);
    length += more;
    if (more < 255) return { length, next: at + 1 };
  }
}
