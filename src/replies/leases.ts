import type { HomeLease } from '../operations/gateway-ports.ts';
import type { LeaseProof } from '../operations/store-ports.ts';
import { backoffDelays, pause } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import { isIdle, shareOf } from './lease-share.ts';
import { LostCommits } from './lost-commits.ts';
import type { PartitionCursor } from './partition-cursor.ts';
import type { HeartbeatResult, LeaseProgress, LeaseRow, LeaseStore, ReplySource } from './ports.ts';
import type { ReplyLoop } from './reply-loop.ts';
import type { TopicWatch } from './topic-watch.ts';

const START = { firstMs: 200, maxMs: 2000 };
export interface LeaseOptions {
  readonly bootId: string;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  /** How long a lost home is still read for the calls that wait there: the longest wait. */
  readonly lingerMs: number;
}

export interface LeaseDeps {
  readonly store: LeaseStore;
  readonly source: ReplySource;
  readonly loop: ReplyLoop;
  readonly watch: TopicWatch;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Which reply partitions this instance reads for settlement: a home, stamped on its commands, and its fair share of the
 * others, so that every partition always has a reader. The lease rows decide; Kafka's groups protect nothing here.
 */
export class ReplyLeases implements HomeLease {
  readonly #options: LeaseOptions;
  readonly #deps: LeaseDeps;
  readonly #stop = new AbortController();
  #home: LeaseProof | null = null;
  #clockOffsetMs = 0;
  #trouble = 'no reply partition is leased yet';
  #run: Promise<void> = Promise.resolve();
  #wakeUp = new AbortController();
  /** True from a failed heartbeat to the next good one. */
  #isBlind = false;
  /** Monotonic; until then nobody else's lease is taken. */
  #cautiousUntilMs = Number.NEGATIVE_INFINITY;
  readonly #lingering = new Map<number, () => void>();
  readonly #lostCommits: LostCommits;

  constructor(options: LeaseOptions, deps: LeaseDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#lostCommits = new LostCommits(deps);
  }

  /**
   * Also past the local validity of the lease: while the database is away nobody can take it, and unrecorded calls go on
   * without it. Whoever writes shows the fence, and is refused where the lease is gone.
   */
  home(): LeaseProof | null {
    return this.#home;
  }

  /** Database time minus this machine's, as the last heartbeat measured it. */
  get clockOffsetMs(): number {
    return this.#clockOffsetMs;
  }

  /** Null while this instance has a home; else why not. */
  trouble(): string | null {
    return this.#home === null ? this.#trouble : null;
  }

  /** Goes on in the background until `stop`: neither Kafka nor the database has to be there yet. */
  start(): void {
    this.#run = this.#keepLeases();
  }

  /** A row is not what we thought: look at once. */
  doubt(): void {
    this.#wakeUp.abort();
  }

  /** Stops reading and gives everything back, so that others need not wait for the leases to run out. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wakeUp.abort();
    await this.#run;
    await this.#deps.watch.stop();
    this.#home = null;
    for (const cancel of this.#lingering.values()) cancel();
    const { store, source, logger } = this.#deps;
    await store.retire(source.topic, this.#options.bootId).catch((error) => {
      logger.warn({ cause: String(error) }, 'leases were not given back; they run out by themselves');
    });
  }

  async #keepLeases(): Promise<void> {
    await this.#createRows();
    while (!this.#stop.signal.aborted) {
      try {
        await this.#beat();
      } catch (error) {
        this.#deps.logger.warn({ cause: String(error) }, 'a lease heartbeat failed');
      }
      await this.#pauseUntilNextBeat();
    }
  }

  async #createRows(): Promise<void> {
    const { source, store, watch, clock, logger } = this.#deps;
    for (const delayMs of backoffDelays(START)) {
      if (this.#stop.signal.aborted) return;
      try {
        await watch.ensureRows();
        return;
      } catch (error) {
        // Rows of an earlier run are enough to begin with: commands are then accepted while the channel is away.
        if ((await store.listLeases(source.topic).catch(() => [])).length > 0) return;
        this.#trouble = `the reply topic's leases cannot be created: ${String(error)}`;
        logger.debug({ cause: String(error) }, 'lease rows are not there yet');
      }
      await pause(clock, delayMs, this.#stop.signal);
    }
  }

  async #pauseUntilNextBeat(): Promise<void> {
    // Without a home nobody can be served: look more often, until one is free.
    const delayMs = this.home() === null ? this.#options.heartbeatMs / 4 : this.#options.heartbeatMs;
    await pause(this.#deps.clock, delayMs, this.#wakeUp.signal);
    this.#wakeUp = new AbortController();
  }

  async #beat(): Promise<void> {
    const { store, source, loop } = this.#deps;
    const { bootId, leaseMs } = this.#options;
    this.#lostCommits.notePositions();
    const progress = this.#collectProgress();
    let result: HeartbeatResult;
    try {
      result = await store.heartbeat({ topic: source.topic, bootId, leaseMs, progress });
    } catch (error) {
      for (const { partition } of progress) loop.cursor(partition)?.completeProgress(null);
      loop.settleWaiting();
      this.#isBlind = true;
      throw error;
    }
    this.#becomeCautious();
    this.#clockOffsetMs = result.clockOffsetMs;
    for (const { partition, nextOffset } of progress) {
      loop.cursor(partition)?.completeProgress(result.moved.includes(partition) ? nextOffset : null);
    }
    this.#reconcile(result.leases);
    loop.settleWaiting();
    await this.#claim(result);
    this.#deps.watch.lookAround();
  }

  /**
   * After an outage of the database every instance row has run out, and the first to beat would take what belongs to all
   * the others: so each leaves them a lease's time to renew.
   */
  #becomeCautious(): void {
    if (!this.#isBlind) return;
    this.#isBlind = false;
    this.#cautiousUntilMs = this.#deps.clock.monotonicMs() + this.#options.leaseMs;
  }

  #collectProgress(): LeaseProgress[] {
    const progress: LeaseProgress[] = [];
    for (const cursor of this.#deps.loop.cursors()) {
      const step = cursor.beginProgress();
      if (step) progress.push({ partition: cursor.partition, fence: cursor.fence, ...step });
    }
    return progress;
  }

  /** What the rows say wins over what we remember. */
  #reconcile(rows: readonly LeaseRow[]): void {
    for (const cursor of [...this.#deps.loop.cursors()]) {
      const row = rows.find(({ partition }) => partition === cursor.partition);
      const isOurs = row?.owner === this.#options.bootId && row.fence === cursor.fence;
      if (isOurs && !this.#lostCommits.show(row)) this.#alignCursor(cursor, row);
      else this.#lose(cursor);
    }
  }

  /** A settling transaction of unknown outcome was committed after all. */
  #alignCursor(cursor: PartitionCursor, row: LeaseRow): void {
    // A row below what we know was read before our last transaction.
    if (!cursor.writing && row.nextOffset > cursor.committed) cursor.adoptCommitted(row.nextOffset);
  }

  #lose(cursor: PartitionCursor): void {
    this.#deps.logger.warn({ partition: cursor.partition }, 'the lease of a reply partition is lost');
    this.#deps.loop.close(cursor.partition);
    if (this.#home?.partition === cursor.partition) {
      this.#home = null;
      this.#trouble = 'the lease of the home reply partition was taken over';
      this.#lingerAt(cursor.partition);
    } else {
      this.#deps.source.abandon(cursor.partition);
    }
  }

  /** Of a lost home reading goes on for a while: its waiting calls still want their answers. */
  #lingerAt(partition: number): void {
    const { clock, loop, source } = this.#deps;
    const leave = () => {
      this.#lingering.delete(partition);
      if (loop.cursor(partition) === undefined) source.abandon(partition);
    };
    this.#lingering.get(partition)?.();
    this.#lingering.set(partition, clock.setTimer(leave, this.#options.lingerMs));
  }

  async #claim(result: HeartbeatResult): Promise<void> {
    const { leases } = result;
    const free = leases.filter((row) => this.#mayTake(row));
    if (this.#home === null) await this.#claimHome(free);
    if (this.#home === null) {
      this.#trouble = `all ${leases.length} reply partitions are leased by other instances; waiting for one`;
      return;
    }
    // A channel that hangs makes each taking slow, and a beat must not be missed for it: the next one goes on.
    const untilMs = this.#deps.clock.monotonicMs() + this.#options.heartbeatMs;
    // Nobody else may take what is ours, and each beat renews it: it is read before anything is taken or given back.
    const ours = free.filter(({ owner }) => owner === this.#options.bootId);
    await this.#takeUpTo(leases.length, ours, untilMs);
    const share = shareOf(result);
    const owned = [...this.#deps.loop.cursors()].map(({ partition }) => partition);
    if (owned.length > share) return this.#giveBack(owned, owned.length - share);
    await this.#takeUpTo(share, free, untilMs);
  }

  async #takeUpTo(count: number, free: readonly LeaseRow[], untilMs: number): Promise<void> {
    for (const { partition } of free) {
      if ([...this.#deps.loop.cursors()].length >= count || this.#deps.clock.monotonicMs() >= untilMs) return;
      if (this.#deps.loop.cursor(partition) === undefined) await this.#take(partition, false);
    }
  }

  /**
   * Nobody's; our own that is not open, because its taking broke off half-way; or somebody else's that has run out.
   */
  #mayTake(row: LeaseRow): boolean {
    if (row.owner === null) return true;
    if (row.owner === this.#options.bootId) return this.#deps.loop.cursor(row.partition) === undefined;
    return row.expired && this.#deps.clock.monotonicMs() >= this.#cautiousUntilMs;
  }

  async #claimHome(free: readonly LeaseRow[]): Promise<void> {
    const owned = [...this.#deps.loop.cursors()].map(({ partition }) => partition);
    for (const partition of [...free.map((row) => row.partition), ...owned]) {
      const lease = await this.#take(partition, true);
      if (lease === null) continue;
      this.#home = { partition: lease.partition, fence: lease.fence };
      this.#deps.logger.info({ partition: lease.partition }, 'home reply partition leased');
      return;
    }
  }

  async #take(partition: number, home: boolean): Promise<LeaseRow | null> {
    const { store, source, loop, watch, logger } = this.#deps;
    const { bootId, leaseMs } = this.#options;
    // Asked before the lease is taken, which would else run out meanwhile.
    const bounds = await watch.askBounds(partition);
    const lease = await store.take({ topic: source.topic, partition, bootId, home, leaseMs });
    if (lease === null) return null;
    this.#lostCommits.prepare(lease);
    const sound = await watch.check(lease, bounds);
    loop.open(sound);
    source.adopt(partition, sound.nextOffset);
    logger.debug(
      { partition, fence: String(sound.fence), nextOffset: String(sound.nextOffset), home },
      'reply partition adopted',
    );
    return sound;
  }

  async #giveBack(owned: readonly number[], count: number): Promise<void> {
    const { store, source, loop } = this.#deps;
    const idle = owned.filter((partition) => partition !== this.#home?.partition && isIdle(loop.cursor(partition)));
    const surplus = idle.slice(0, count);
    if (surplus.length === 0) return;
    for (const partition of surplus) {
      loop.close(partition);
      source.abandon(partition);
    }
    await store.release(source.topic, this.#options.bootId, surplus);
  }
}
