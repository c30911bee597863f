/** How many milliseconds are remembered; a power of two. */
const SLOTS = 64;
const times = new Float64Array(SLOTS).fill(Number.NaN);
const texts: string[] = new Array(SLOTS).fill('');

/**
 * RFC 3339, to the millisecond, in UTC. A call says the same two or three moments in its command record and in its answer,
 * and so do the calls of the same millisecond: the last ones are remembered.
 *
 * Throws `RangeError` for what is no time.
 *
 * @param timeMs Unix milliseconds.
 */
export function toTimestamp(timeMs: number): string {
  const slot = timeMs & (SLOTS - 1);
  if (times[slot] === timeMs) return texts[slot] as string;
  const text = new Date(timeMs).toISOString();
  times[slot] = timeMs;
  texts[slot] = text;
  return text;
}
