import { type Clock, systemClock } from './clock.ts';
import {
  type CommandKey,
  type DeduplicationStore,
  nameOf,
  type Outcome,
  RunningCommands,
  type Work,
} from './deduplication.ts';
import { type Reply, sizeOfReply } from './reply.ts';

export interface MemoryDeduplicationOptions {
  /** Replies kept at the most; the oldest go first. Default 100,000. */
  readonly maxEntries?: number;
  /** Their size together at the most. Default 64 MiB. */
  readonly maxBytes?: number;
  /** How long a reply is kept. Default one hour. */
  readonly retentionMs?: number;
  readonly clock?: Clock;
}

interface Stored {
  readonly reply: Reply;
  readonly sizeBytes: number;
  readonly untilMs: number;
}

/**
 * Marks in memory: they end with the process, so a command that is redelivered after a crash, or to another instance,
 * runs again. Handlers whose effect must not be doubled need a key of their own in their database, or
 * `PostgresDeduplication`.
 *
 * Invariant: `#stored` is in the order of storing, so the first is the oldest.
 */
export class MemoryDeduplication implements DeduplicationStore {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  readonly #retentionMs: number;
  readonly #clock: Clock;
  readonly #stored = new Map<string, Stored>();
  readonly #running = new RunningCommands();
  #bytes = 0;

  constructor(options: MemoryDeduplicationOptions = {}) {
    this.#maxEntries = options.maxEntries ?? 100_000;
    this.#maxBytes = options.maxBytes ?? 64 * 1024 * 1024;
    this.#retentionMs = options.retentionMs ?? 3_600_000;
    this.#clock = options.clock ?? systemClock;
  }

  async find(key: CommandKey): Promise<Reply | undefined> {
    this.#evict();
    return this.#stored.get(nameOf(key))?.reply;
  }

  runOnce(key: CommandKey, work: Work<null>): Promise<Outcome> {
    return this.#running.join(key, async () => {
      const stored = await this.find(key);
      if (stored) return { reply: stored, duplicate: true };
      const reply = await work(null);
      this.#store(nameOf(key), reply);
      return { reply, duplicate: false };
    });
  }

  #store(name: string, reply: Reply): void {
    const sizeBytes = sizeOfReply(reply);
    this.#stored.set(name, { reply, sizeBytes, untilMs: this.#clock.nowMs() + this.#retentionMs });
    this.#bytes += sizeBytes;
    this.#evict();
  }

  #evict(): void {
    for (const [name, stored] of this.#stored) {
      const within = this.#stored.size <= this.#maxEntries && this.#bytes <= this.#maxBytes;
      if (within && stored.untilMs > this.#clock.nowMs()) return;
      this.#stored.delete(name);
      this.#bytes -= stored.sizeBytes;
    }
  }
}
