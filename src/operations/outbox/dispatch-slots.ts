import { Failure } from '../../runtime/failure.ts';
import type { CommandRecord } from '../channel-ports.ts';
import { RETRY_AFTER_MS } from '../failures.ts';

export interface DispatchBounds {
  readonly maxPending: number;
  readonly maxPendingBytes: number;
  /** Of one topic: one that cannot be written to leaves room for the others. */
  readonly maxPendingPerTopic: number;
}

/** What may still be taken up. */
export interface DispatchRoom {
  readonly items: number;
  readonly bytes: number;
  /** Topics that have all the places that one may have. */
  readonly fullTopics: readonly string[];
}

/** The recorded commands that this instance holds until they are on the log: how many, how large, of which topics. */
export class DispatchSlots {
  readonly #bounds: DispatchBounds;
  readonly #ids = new Set<string>();
  readonly #byTopic = new Map<string, number>();
  #bytes = 0;

  constructor(bounds: DispatchBounds) {
    this.#bounds = bounds;
  }

  get count(): number {
    return this.#ids.size;
  }

  has(operationId: string): boolean {
    return this.#ids.has(operationId);
  }

  room(): DispatchRoom {
    const { maxPendingPerTopic } = this.#bounds;
    return {
      fullTopics: [...this.#byTopic].filter(([, count]) => count >= maxPendingPerTopic).map(([topic]) => topic),
      items: Math.max(0, this.#bounds.maxPending - this.#ids.size),
      bytes: Math.max(0, this.#bounds.maxPendingBytes - this.#bytes),
    };
  }

  /** Throws `Failure` `OVERLOADED` at the bounds. */
  reserve(record: CommandRecord, operationId: string): void {
    const { maxPending, maxPendingBytes, maxPendingPerTopic } = this.#bounds;
    const sizeBytes = record.value.byteLength;
    const ofTopic = this.#byTopic.get(record.topic) ?? 0;
    if (this.#ids.size >= maxPending || this.#bytes + sizeBytes > maxPendingBytes) throw overloaded(this.#ids.size, '');
    if (ofTopic >= maxPendingPerTopic) throw overloaded(ofTopic, ' of this kind');
    this.#ids.add(operationId);
    this.#byTopic.set(record.topic, ofTopic + 1);
    this.#bytes += sizeBytes;
  }

  release(record: CommandRecord, operationId: string): void {
    if (!this.#ids.delete(operationId)) return;
    const left = (this.#byTopic.get(record.topic) as number) - 1;
    if (left === 0) this.#byTopic.delete(record.topic);
    else this.#byTopic.set(record.topic, left);
    this.#bytes -= record.value.byteLength;
  }
}

function overloaded(count: number, kind: string): Failure {
  const detail = `${count} recorded commands${kind} wait to be published, as many as this gateway holds`;
  return new Failure('OVERLOADED', detail, { retryAfterMs: RETRY_AFTER_MS });
}
