import { randomBytes } from 'node:crypto';
import type { Clock } from './clock.ts';

/**
 * UUIDv7 (RFC 9562 section 5.7), the form of every `ce_id`: 48 bits of Unix milliseconds, a 12-bit counter that keeps the ids
 * of one millisecond in order (section 6.2, method 1), 62 random bits.
 */
export class IdSource {
  readonly #clock: Clock;
  #lastMs = 0;
  #counter = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** In lower case. Never smaller than the one before, also when the clock steps back. */
  next(): string {
    const nowMs = this.#clock.nowMs();
    this.#counter = nowMs > this.#lastMs ? 0 : this.#counter + 1;
    this.#lastMs = Math.max(nowMs, this.#lastMs);
    if (this.#counter > 0xfff) {
      this.#lastMs += 1;
      this.#counter = 0;
    }
    const bytes = randomBytes(16);
    bytes.writeUIntBE(this.#lastMs, 0, 6);
    bytes.writeUInt16BE(0x7000 | this.#counter, 6);
    bytes[8] = 0x80 | ((bytes[8] as number) & 0x3f);
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  }
}
