// Protobuf bytes that are no `calls.v1.DoRequest`, and good ones that are against its rules.
import fc from 'fast-check';

/** Deeper than any decoder here goes. */
const MIN_DEPTH = 104;

export interface BadMessage {
  readonly what: string;
  readonly bytes: Buffer;
  /** Of the violation that must be there; null where none can be named. */
  readonly field: string | null;
}

const goodBytes = fc.constantFrom([], [0x12, 1, 0x61], [0x18, 5], [0x48 | 2, 1, 0x61]);
const brokenBytes = fc.constantFrom<[string, number[]]>(
  ['a text that ends too early', [0x12, 5, 0x61]],
  ['a tag without a value', [0x18]],
  ['a varint without end', [0x18, 0xff, 0xff, 0xff]],
  ['a varint of eleven bytes', [0x18, ...Array<number>(11).fill(0xff), 1]],
  ['field number zero', [0x02, 1, 0x61]],
  ['wire type six', [0x16, 1]],
  ['wire type seven', [0x17, 1]],
  ['a group that never ends', [0x13, 0x08, 1]],
  ['a group that never began', [0x14]],
  ['invalid UTF-8', [0x12, 2, 0xc3, 0x28]],
  ['a lone surrogate', [0x12, 3, 0xed, 0xa0, 0x80]],
  ['NUL in a text', [0x12, 1, 0]],
  ['a broken message inside', [0x62, 2, 0x12, 9]],
  ['a length beyond all bounds', [0x12, 0xff, 0xff, 0xff, 0xff, 0x07]],
  ['a negative length', [0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]],
);
const againstRule = fc.constantFrom<[string, number[], string]>(
  ['a text that is too long', [0xa2, 0x01, 6, ...Buffer.from('abcdef')], 'short'],
  ['a number below its bound', [0x6a, 11, 0x10, ...Array<number>(9).fill(0xff), 1], 'items[0].quantity'],
  ['the same, nested', [0x62, 9, 0xa2, 0x01, 6, ...Buffer.from('abcdef')], 'inner.short'],
);
const deepBytes = fc.integer({ min: MIN_DEPTH, max: 400 }).map((depth): BadMessage => {
  let bytes = Buffer.alloc(0);
  for (let level = 0; level < depth; level++)
    bytes = Buffer.concat([Buffer.from([0x62, ...varint(bytes.length)]), bytes]);
  return { what: 'deep messages', bytes, field: null };
});

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}

export const badMessage: fc.Arbitrary<BadMessage> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc
      .tuple(goodBytes, brokenBytes)
      .map(([good, [what, bytes]]): BadMessage => ({ what, bytes: Buffer.from([...good, ...bytes]), field: null })),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(goodBytes, againstRule)
      .map(([good, [what, bytes, field]]): BadMessage => ({ what, bytes: Buffer.from([...good, ...bytes]), field })),
  },
  { weight: 1, arbitrary: deepBytes },
);
