/** A batch that unpacks to more than this is no batch of commands: Kafka's own bound of one is 1 MB by default. */
export const MAX_UNPACKED_BYTES = 256 * 1024 * 1024;

/** Output of a decompressor, which copies from what it has written before. Throws RangeError for a stream that is broken. */
export class GrowingBytes {
  #bytes: Buffer;
  #length = 0;

  constructor(expected: number) {
    this.#bytes = Buffer.allocUnsafe(checkSize(expected));
  }

  append(source: Buffer, from: number, length: number): void {
    if (from + length > source.length) throw new RangeError('compressed batch: ends too early');
    this.#reserve(length);
    source.copy(this.#bytes, this.#length, from, from + length);
    this.#length += length;
  }

  /** From `distance` bytes back; source and target may overlap, which repeats a pattern. */
  repeat(distance: number, length: number): void {
    if (distance < 1 || distance > this.#length)
      throw new RangeError('compressed batch: refers to before its beginning');
    this.#reserve(length);
    const bytes = this.#bytes;
    let at = this.#length;
    if (distance >= length) bytes.copy(bytes, at, at - distance, at - distance + length);
    else for (const end = at + length; at < end; at += 1) bytes[at] = bytes[at - distance] as number;
    this.#length += length;
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(more: number): void {
    const needed = checkSize(this.#length + more);
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.min(Math.max(needed, this.#bytes.length * 2), MAX_UNPACKED_BYTES));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

function checkSize(size: number): number {
  if (size > MAX_UNPACKED_BYTES)
    throw new RangeError(`compressed batch: unpacks to more than ${MAX_UNPACKED_BYTES} bytes`);
  return size;
}
