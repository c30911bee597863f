/**
 * The hash by which Kafka's Java client places a keyed record, so that workers in any language and other producers of the
 * same topic agree on where a key lives. MurmurHash2 with the seed of `org.apache.kafka.common.utils.Utils#murmur2`,
 * signed 32 bits.
 */
export function murmur2(data: Uint8Array): number {
  const length = data.length;
  let hash = 0x9747b28c ^ length;
  const tail = length & ~3;
  for (let index = 0; index < tail; index += 4) {
    let word =
      byteAt(data, index) |
      (byteAt(data, index + 1) << 8) |
      (byteAt(data, index + 2) << 16) |
      (byteAt(data, index + 3) << 24);
    word = Math.imul(word, MULTIPLIER);
    word ^= word >>> 24;
    hash = Math.imul(hash, MULTIPLIER) ^ Math.imul(word, MULTIPLIER);
  }
  if (length > tail) {
    if (length - tail > 2) hash ^= byteAt(data, tail + 2) << 16;
    if (length - tail > 1) hash ^= byteAt(data, tail + 1) << 8;
    hash = Math.imul(hash ^ byteAt(data, tail), MULTIPLIER);
  }
  hash ^= hash >>> 13;
  hash = Math.imul(hash, MULTIPLIER);
  return hash ^ (hash >>> 15);
}

const MULTIPLIER = 0x5bd1e995;

function byteAt(data: Uint8Array, index: number): number {
  return data[index] as number;
}

/** The partition of a key, as the Java client's default partitioner chooses it. `partitionCount` is at least 1. */
export function partitionOfKey(key: Uint8Array, partitionCount: number): number {
  return (murmur2(key) & 0x7fffffff) % partitionCount;
}
