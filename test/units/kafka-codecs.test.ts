import snappy from 'snappy';
import { describe, expect, it } from 'vitest';
import { decompressSnappy } from '../../src/channel/kafka-codecs.ts';

const MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00, 0, 0, 0, 1, 0, 0, 0, 1]);

/** As snappy-java writes it: a header, and blocks with their lengths. */
function frame(...blocks: Buffer[]): Buffer {
  const parts = blocks.flatMap((block) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(block.length);
    return [length, block];
  });
  return Buffer.concat([MAGIC, ...parts]);
}

describe('snappy', () => {
  const blocks = ['a', 'b'].map((text) => snappy.compressSync(text.repeat(100_000)));

  it('is read as one bare block, and as the frame of snappy-java with one block or several', () => {
    expect(decompressSnappy(blocks[0]!).toString()).toBe('a'.repeat(100_000));
    expect(decompressSnappy(frame(blocks[0]!)).toString()).toBe('a'.repeat(100_000));
    expect(decompressSnappy(frame(...blocks)).toString()).toBe('a'.repeat(100_000) + 'b'.repeat(100_000));
    expect(decompressSnappy(frame())).toHaveLength(0);
  });

  it('is refused where it is cut off or is none', () => {
    expect(() => decompressSnappy(frame(...blocks).subarray(0, -1))).toThrow(/cut off/);
    expect(() => decompressSnappy(Buffer.from('no snappy at all'))).toThrow();
    expect(() => decompressSnappy(Buffer.alloc(8, 0xff))).toThrow(/not snappy/);
  });

  it('is refused before it is unfolded where it would become too much', () => {
    // A length of 1 GiB, and nothing behind it.
    expect(() => decompressSnappy(Buffer.from([0x80, 0x80, 0x80, 0x80, 0x04]))).toThrow(/more than/);
  });
});
