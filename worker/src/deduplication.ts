import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import { type Reply, sizeOfReply } from './reply.ts';

/** The terminal reply, and whether this call ran the work or found it done. */
export interface Outcome {
  readonly reply: Reply;
  readonly duplicate: boolean;
}

/**
 * Remembers the terminal reply of each command by its `ce_id`, so that a command that comes twice has one effect and
 * each coming is answered. Kafka redelivers after a crash or a rebalance, and a gateway may send a second attempt.
 */
export interface DeduplicationStore {
  /** The stored terminal reply; undefined for an unknown command and for one that still runs. */
  find(id: string): Promise<Reply | undefined>;
  /**
   * Runs `work` unless the command ended before; a second call while the first runs waits for it. Where `work` rejects,
   * nothing is stored, this call rejects, and one that waited runs its own work.
   */
  runOnce(id: string, work: () => Promise<Reply>): Promise<Outcome>;
}

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
 * runs again. Handlers whose effect must not be doubled need a key of their own in their database.
 *
 * Invariant: `#stored` is in the order of storing, so the first is the oldest; an id is in one of the two maps at most.
 */
export class MemoryDeduplication implements DeduplicationStore {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  readonly #retentionMs: number;
  readonly #clock: Clock;
  readonly #stored = new Map<string, Stored>();
  readonly #running = new Map<string, Promise<Reply>>();
  #bytes = 0;

  constructor(options: MemoryDeduplicationOptions = {}) {
    this.#maxEntries = options.maxEntries ?? 100_000;
    this.#maxBytes = options.maxBytes ?? 64 * 1024 * 1024;
    this.#retentionMs = options.retentionMs ?? 3_600_000;
    this.#clock = options.clock ?? systemClock;
  }

  async find(id: string): Promise<Reply | undefined> {
    this.#evict();
    return this.#stored.get(id)?.reply;
  }

  async runOnce(id: string, work: () => Promise<Reply>): Promise<Outcome> {
    for (;;) {
      const stored = await this.find(id);
      if (stored) return { reply: stored, duplicate: true };
      const running = this.#running.get(id);
      if (running === undefined) return { reply: await this.#run(id, work), duplicate: false };
      const reply = await running.catch(() => undefined);
      if (reply) return { reply, duplicate: true };
    }
  }

  async #run(id: string, work: () => Promise<Reply>): Promise<Reply> {
    const running = work();
    this.#running.set(id, running);
    try {
      const reply = await running;
      this.#store(id, reply);
      return reply;
    } finally {
      this.#running.delete(id);
    }
  }

  #store(id: string, reply: Reply): void {
    const sizeBytes = sizeOfReply(reply);
    this.#stored.set(id, { reply, sizeBytes, untilMs: this.#clock.nowMs() + this.#retentionMs });
    this.#bytes += sizeBytes;
    this.#evict();
  }

  #evict(): void {
    for (const [id, stored] of this.#stored) {
      const within = this.#stored.size <= this.#maxEntries && this.#bytes <= this.#maxBytes;
      if (within && stored.untilMs > this.#clock.nowMs()) return;
      this.#stored.delete(id);
      this.#bytes -= stored.sizeBytes;
    }
  }
}
