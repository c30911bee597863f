import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8Length, writeShortAscii } from '../../src/runtime/short-text.ts';
import { toTimestamp } from '../../src/runtime/timestamp.ts';

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ unit: 'binary-ascii', maxLength: 200 }),
);

describe('short texts', () => {
  it('are as long, and as many bytes, as the runtime says', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(utf8Length(text)).toBe(Buffer.byteLength(text));
        const buffer = Buffer.alloc(1000);
        if (writeShortAscii(buffer, 3, text)) {
          expect(buffer.subarray(3, 3 + text.length).equals(Buffer.from(text))).toBe(true);
        } else {
          expect(text.length > 128 || Buffer.byteLength(text) > text.length).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('timestamps', () => {
  it('are those of the runtime, remembered or not', () => {
    const times = fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 });
    fc.assert(
      fc.property(fc.array(fc.oneof(times, fc.integer({ min: 0, max: 200 })), { maxLength: 50 }), (all) => {
        for (const timeMs of [...all, ...all]) expect(toTimestamp(timeMs)).toBe(new Date(timeMs).toISOString());
      }),
    );
  });

  it('are none of what is no time', () => {
    expect(() => toTimestamp(Number.NaN)).toThrow(RangeError);
  });
});
