/** Headers of a record in order; a name may stand twice. */
export type HeaderList = readonly (readonly [name: string, value: Uint8Array])[];

export interface MemoryRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: HeaderList;
}

export interface StoredRecord extends MemoryRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  /** Unix milliseconds of the append. */
  readonly timestampMs: number;
}

export interface LogBounds {
  /** Of records that every reader has passed. Default: as many as may be kept at all. */
  readonly passedRecords?: number;
  readonly maxRecords: number;
  readonly maxBytes: number;
}

/**
 * One partition: the records that are kept, and the readers that stand somewhere in them.
 *
 * At a bound the oldest records go, as Kafka's retention has it, but never one that a reader has yet to see: then the
 * append is refused, so that a slow worker holds callers back instead of losing their commands.
 */
export class PartitionLog {
  readonly #bounds: LogBounds;
  /** Invariant: `#records[i]` has the offset `start + i`; `#sizeBytes` is the sum of their sizes. */
  #records: StoredRecord[] = [];
  #dropped = 0;
  #sizeBytes = 0;
  #startOffset = 0;
  readonly #readers = new Set<LogReader>();

  constructor(bounds: LogBounds) {
    this.#bounds = bounds;
  }

  get start(): number {
    return this.#startOffset;
  }

  /** Past the last record. */
  get end(): number {
    return this.#startOffset + this.#records.length - this.#dropped;
  }

  /** False where it is full of records that somebody has yet to read. */
  append(record: StoredRecord): boolean {
    const sizeBytes = sizeOf(record);
    while (this.#isFull(sizeBytes)) if (!this.#dropOldest()) return false;
    this.#records.push(record);
    this.#sizeBytes += sizeBytes;
    this.#dropPassed();
    for (const reader of this.#readers) reader.wake();
    return true;
  }

  read(fromOffset: number, maxRecords: number): StoredRecord[] {
    const first = this.#dropped + Math.max(0, fromOffset - this.#startOffset);
    return this.#records.slice(first, first + maxRecords);
  }

  addReader(reader: LogReader): void {
    this.#readers.add(reader);
  }

  removeReader(reader: LogReader): void {
    this.#readers.delete(reader);
  }

  #isFull(sizeBytes: number): boolean {
    const kept = this.end - this.start;
    return kept > 0 && (kept >= this.#bounds.maxRecords || this.#sizeBytes + sizeBytes > this.#bounds.maxBytes);
  }

  /** What all have read is kept for a while only: a process that runs for days must not grow with it. */
  #dropPassed(): void {
    const { passedRecords } = this.#bounds;
    if (passedRecords === undefined || this.#readers.size === 0) return;
    while (this.end - this.start > passedRecords && this.#dropOldest());
  }

  #dropOldest(): boolean {
    for (const reader of this.#readers) if (reader.keepsFrom() <= this.#startOffset) return false;
    const oldest = this.#records[this.#dropped] as StoredRecord;
    this.#sizeBytes -= sizeOf(oldest);
    this.#startOffset += 1;
    this.#dropped += 1;
    // Half of the array is gone: cut it off at once, so that dropping stays cheap.
    if (this.#dropped * 2 > this.#records.length) {
      this.#records = this.#records.slice(this.#dropped);
      this.#dropped = 0;
    }
    return true;
  }
}

export interface LogReader {
  /** Something was appended. Must not read at once: an append never runs a reader's code. */
  wake(): void;
  /** The smallest offset that is still needed. */
  keepsFrom(): number;
}

/** What a record takes, roughly. */
export function sizeOf(record: MemoryRecord): number {
  let sizeBytes = 64 + (record.key?.length ?? 0) + (record.value?.length ?? 0);
  for (const [name, value] of record.headers) sizeBytes += name.length + value.length + 16;
  return sizeBytes;
}
