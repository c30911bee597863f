import { createRequire } from 'node:module';
import { replaceModule } from './kafka-module.ts';

const MODULE = Object.freeze({
  path: 'kafkajs/src/protocol/recordBatch/crc32C/index.js',
  usedBy: 'kafkajs/src/protocol/recordBatch/v0/index.js',
});

/** The Castagnoli polynomial, reflected (RFC 3720 appendix B.4). */
const POLYNOMIAL = 0x82f63b78;
const SLICES = 8;

/** Table `n` gives the checksum of a byte with `n` zero bytes behind it. */
const tables = makeTables();

/**
 * kafkajs 2.2.4 looks at every byte of a batch by itself for its CRC-32C. This one takes eight at a time, for the same
 * sum. Returns as `replaceModule`.
 */
export function quickenChecksums(require: NodeJS.Require = createRequire(import.meta.url)): boolean {
  return replaceModule<typeof crc32c>(require, MODULE, () => crc32c);
}

/** Unsigned, 32 bits. */
export function crc32c(bytes: Uint8Array): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as unknown as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  const at = (index: number) => bytes[index] as number;
  let sum = 0xffffffff;
  let index = 0;
  for (const last = bytes.length - SLICES; index <= last; index += SLICES) {
    const low = sum ^ (at(index) | (at(index + 1) << 8) | (at(index + 2) << 16) | (at(index + 3) << 24));
    sum =
      (t7[low & 0xff] as number) ^
      (t6[(low >>> 8) & 0xff] as number) ^
      (t5[(low >>> 16) & 0xff] as number) ^
      (t4[low >>> 24] as number) ^
      (t3[at(index + 4)] as number) ^
      (t2[at(index + 5)] as number) ^
      (t1[at(index + 6)] as number) ^
      (t0[at(index + 7)] as number);
  }
  for (; index < bytes.length; index += 1) sum = (sum >>> 8) ^ (t0[(sum ^ at(index)) & 0xff] as number);
  return (sum ^ 0xffffffff) >>> 0;
}

function makeTables(): readonly Uint32Array[] {
  const first = Uint32Array.from({ length: 256 }, (_, byte) => {
    let sum = byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ POLYNOMIAL : sum >>> 1;
    return sum;
  });
  const made = [first];
  for (let slice = 1; slice < SLICES; slice += 1) {
    const before = made[slice - 1] as Uint32Array;
    made.push(before.map((sum) => (sum >>> 8) ^ (first[sum & 0xff] as number)));
  }
  return made;
}
