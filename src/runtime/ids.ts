import { randomFillSync } from 'node:crypto';

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
const POOL_BYTES = 4096;
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/**
 * Makes UUIDv7 ids (RFC 9562 section 5.7): 48 bits of Unix milliseconds, a 12-bit counter (method 1 of section 6.2) that
 * keeps the ids of one millisecond in order, 62 random bits. Random bytes are drawn from a pool: one system call per
 * 512 ids instead of one an id.
 */
export class IdSource {
  readonly #wallMs: () => number;
  readonly #pool = new Uint8Array(POOL_BYTES);
  #poolOffset = POOL_BYTES;
  #lastMs = 0;
  #counter = 0;

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  /** Lower-case text form. Never smaller than the one before, also when the clock steps back. */
  next(): string {
    const nowMs = this.#wallMs();
    if (nowMs > this.#lastMs) {
      this.#lastMs = nowMs;
      this.#counter = 0;
    } else if (++this.#counter > 0xfff) {
      this.#lastMs += 1;
      this.#counter = 0;
    }
    return this.#format(this.#lastMs, this.#counter, this.#drawRandom());
  }

  #drawRandom(): number {
    if (this.#poolOffset + 8 > POOL_BYTES) {
      randomFillSync(this.#pool);
      this.#poolOffset = 0;
    }
    const offset = this.#poolOffset;
    this.#poolOffset += 8;
    return offset;
  }

  #format(timeMs: number, counter: number, offset: number): string {
    const high = Math.floor(timeMs / 0x10000);
    const low = timeMs & 0xffff;
    const random = (index: number) => this.#pool[offset + index] as number;
    return (
      `${high.toString(16).padStart(8, '0')}-${low.toString(16).padStart(4, '0')}-7${counter.toString(16).padStart(3, '0')}-` +
      `${HEX[0x80 | (random(0) & 0x3f)]}${HEX[random(1)]}-` +
      `${HEX[random(2)]}${HEX[random(3)]}${HEX[random(4)]}${HEX[random(5)]}${HEX[random(6)]}${HEX[random(7)]}`
    );
  }
}

/** Whether the text is a UUIDv7 in lower case, the only form of our own ids. */
export function isOperationId(text: string): boolean {
  return UUID_V7.test(text);
}

/** Unix milliseconds inside a UUIDv7. The text must be one. */
export function timeOfIdMs(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
