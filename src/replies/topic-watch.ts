import { pause } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Counter, Metrics } from '../runtime/metrics.ts';
import type { LeaseRow, LeaseStore, ReplySource } from './ports.ts';
import type { ReplyLoop } from './reply-loop.ts';

interface LogBounds {
  readonly start: bigint;
  readonly end: bigint;
}

/** How often it is looked whether the reply topic has more partitions than lease rows. */
const LOOK_MS = 30_000;
/** A channel that is away may take long to say so, and a heartbeat must not wait for it. */
const MAX_ASK_MS = 1500;
/** Operations that the alarm about lost replies names. */
const MAX_NAMED_OPERATIONS = 20;

export interface TopicWatchDeps {
  readonly store: LeaseStore;
  readonly source: ReplySource;
  readonly loop: ReplyLoop;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Holds the lease rows against the reply topic: each partition has a row, each row's position is one that the log has. */
export class TopicWatch {
  readonly #deps: TopicWatchDeps;
  readonly #lost: Counter;
  /** Monotonic. */
  #lookAtMs = 0;
  #asking: Promise<void> | null = null;
  /** Opened while the channel could not say what its log holds. */
  readonly #unchecked = new Set<number>();

  constructor(deps: TopicWatchDeps) {
    this.#deps = deps;
    this.#lost = deps.metrics.counter(
      'sluice_lost_reply_positions_total',
      'Read positions that the log of replies did not hold any more: an alarm.',
      [],
    );
  }

  /** Throws where channel or store do not answer. */
  async ensureRows(): Promise<void> {
    const { source, store, clock } = this.#deps;
    const bounds = await source.bounds(await source.partitions());
    await store.ensure(source.topic, new Map([...bounds].map(([partition, { start }]) => [partition, start])));
    this.#lookAtMs = clock.monotonicMs() + LOOK_MS;
  }

  /** In the background: partitions that were added get a row, and with it a reader; what was not checked is checked. */
  lookAround(): void {
    const isTime = this.#deps.clock.monotonicMs() >= this.#lookAtMs;
    if (this.#asking !== null || (!isTime && this.#unchecked.size === 0)) return;
    this.#asking = this.#look(isTime)
      .catch((error) => this.#deps.logger.debug({ cause: String(error) }, 'the reply topic cannot be looked at now'))
      .finally(() => {
        this.#asking = null;
      });
  }

  async stop(): Promise<void> {
    await this.#asking;
  }

  /** Undefined where the channel does not say in time. */
  async askBounds(partition: number): Promise<LogBounds | undefined> {
    const { source, clock } = this.#deps;
    const enough = new AbortController();
    const answer = source.bounds([partition]).then(
      (known) => known.get(partition),
      () => undefined,
    );
    const bounds = await Promise.race([answer, pause(clock, MAX_ASK_MS, enough.signal)]);
    enough.abort();
    return bounds ?? undefined;
  }

  /**
   * The lease with a position that the log holds. One that it does not hold means lost replies (retention, a recreated
   * topic): that is said, and what is left is read.
   */
  async check(lease: LeaseRow, bounds: LogBounds | undefined): Promise<LeaseRow> {
    const { store, source, logger } = this.#deps;
    const { partition, nextOffset } = lease;
    if (bounds !== undefined && isWithin(nextOffset, bounds)) return lease;
    // They were asked before the lease was taken: its last owner may have read further since. A channel that does not
    // answer is not asked twice.
    const now = bounds && (await this.askBounds(partition));
    if (now === undefined) this.#unchecked.add(partition);
    if (now === undefined || isWithin(nextOffset, now)) return lease;
    const operations = await store.listOpenAt(partition, MAX_NAMED_OPERATIONS).catch(() => []);
    const { start, end } = now;
    logger.error(
      { partition, nextOffset: String(nextOffset), start: String(start), end: String(end), operations },
      'the log does not hold the read position of a reply partition: replies to these operations may be lost',
    );
    this.#lost.add(1);
    await store.resetPosition(source.topic, lease, start);
    return { ...lease, nextOffset: start };
  }

  async #look(isTime: boolean): Promise<void> {
    if (isTime) await this.ensureRows();
    if (this.#unchecked.size > 0) await this.#checkOpened();
  }

  async #checkOpened(): Promise<void> {
    const { source, loop } = this.#deps;
    for (const [partition, bounds] of await source.bounds([...this.#unchecked])) {
      this.#unchecked.delete(partition);
      const cursor = loop.cursor(partition);
      if (cursor === undefined || isWithin(cursor.committed, bounds)) continue;
      const { fence, committed: nextOffset } = cursor;
      const sound = await this.check(
        { partition, fence, nextOffset, owner: null, home: false, expired: false },
        bounds,
      );
      // Opened anew it would forget what it holds: only where it stands at the wrong place.
      if (sound.nextOffset === nextOffset) continue;
      loop.open(sound);
      source.adopt(partition, sound.nextOffset);
    }
  }
}

function isWithin(offset: bigint, { start, end }: LogBounds): boolean {
  return offset >= start && offset <= end;
}
