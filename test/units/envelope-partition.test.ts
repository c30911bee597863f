import { createRequire } from 'node:module';
import fastCheck from 'fast-check';
import { expect, it } from 'vitest';
import { murmur2, partitionOfKey } from '../../src/channel/partition.ts';

// kafkajs's own, a port of the Java client's; slow, because it computes with 64-bit objects.
const theirs: (key: Buffer) => number = createRequire(import.meta.url)(
  'kafkajs/src/producer/partitioners/default/murmur2.js',
);

it.each([
  // The Java client's own test vectors (org.apache.kafka.common.utils.UtilsTest#testMurmur2).
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('places the key %s where the Java client does', (key, hash) => {
  expect(murmur2(Buffer.from(key))).toBe(hash);
});

it('hashes any bytes as kafkajs does', () => {
  fastCheck.assert(
    fastCheck.property(fastCheck.uint8Array({ maxLength: 70 }), (bytes) => {
      expect(murmur2(bytes)).toBe(theirs(Buffer.from(bytes)));
      expect(partitionOfKey(bytes, 12)).toBe((theirs(Buffer.from(bytes)) & 0x7fffffff) % 12);
    }),
  );
});
