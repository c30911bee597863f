import { pause } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import { Trouble } from '../runtime/trouble.ts';
import type { Calm } from './calm.ts';
import type { Chore } from './chore.ts';
import type { ChoresLease } from './ports.ts';
import type { Uptake } from './uptake.ts';

export interface ChoresOptions {
  readonly bootId: string;
  readonly leaseMs: number;
  readonly intervalMs: number;
}

export interface Duties {
  /** Of the holder of the lease alone. */
  readonly ofHolder: readonly Chore[];
  /** Of every instance. */
  readonly ofEach: readonly Chore[];
}

export interface ChoresLoopDeps {
  readonly lease: ChoresLease;
  readonly uptake: Pick<Uptake, 'takeUp'>;
  readonly calm: Calm;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A chore with what the loop remembers of it. */
interface Duty {
  readonly chore: Chore;
  readonly trouble: Trouble;
  /** Monotonic. */
  nextAtMs: number;
  /** Null while it is not under way. */
  running: Promise<void> | null;
}

/**
 * The loop of the chores. One instance holds their lease; the others look each tick whether it is free. Chores run beside
 * each other, so one that waits (for Kafka, say) delays no other; one that is under way is not started a second time.
 *
 * Without a renewal the tenure ends by our own clock before it ends by the database's: it is counted from the moment in
 * which the renewal was sent off.
 */
export class Chores {
  readonly #options: ChoresOptions;
  readonly #lease: ChoresLease;
  readonly #uptake: Pick<Uptake, 'takeUp'>;
  readonly #clock: Clock;
  readonly #calm: Calm;
  readonly #logger: Logger;
  readonly #trouble: Trouble;
  readonly #ofHolder: readonly Duty[];
  readonly #ofEach: readonly Duty[];
  readonly #stop = new AbortController();
  /** Null while another instance does the chores. */
  #tenure: AbortController | null = null;
  #cancelTenureEnd: () => void = () => undefined;
  /** True from the first attempt on: its answer may have been lost. */
  #mayHold = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: ChoresOptions, duties: Duties, deps: ChoresLoopDeps) {
    this.#options = options;
    this.#lease = deps.lease;
    this.#uptake = deps.uptake;
    this.#clock = deps.clock;
    this.#calm = deps.calm;
    this.#logger = deps.logger;
    this.#trouble = new Trouble('the lease of the chores cannot be asked for', deps.logger);
    const dutyOf = (chore: Chore): Duty => ({
      chore,
      trouble: new Trouble(`the chore ${chore.name} fails and is tried again`, deps.logger),
      nextAtMs: Number.NEGATIVE_INFINITY,
      running: null,
    });
    this.#ofHolder = duties.ofHolder.map(dutyOf);
    this.#ofEach = duties.ofEach.map(dutyOf);
  }

  get isHolder(): boolean {
    return this.#tenure !== null;
  }

  /** There is something to publish that need not wait for the next beat. Of use at the holder only. */
  hurry(): void {
    if (this.#tenure === null) return;
    for (const duty of this.#ofHolder) {
      if (duty.chore.hurry === undefined) continue;
      duty.chore.hurry();
      if (duty.running === null) this.#startDuty(duty, this.#tenure.signal);
    }
  }

  /**
   * Publishes rows that this boot has just claimed (an operation that is sent again by hand). One that finds no room is
   * given back, for the holder. Throws `StoreError`.
   */
  async takeUp(operationIds: readonly string[]): Promise<void> {
    await this.#uptake.takeUp(operationIds);
  }

  /** Goes on in the background until `stop`; the database need not be there yet. */
  start(): void {
    this.#loop = this.#keepOn();
  }

  /** Waits for the statements under way, and lets go of the lease. Call before the dispatcher is stopped. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#endTenure();
    await this.#loop;
    await Promise.all([...this.#ofHolder, ...this.#ofEach].map(({ running }) => running));
    if (!this.#mayHold) return;
    await this.#lease.letGo(this.#options.bootId).catch((error) => {
      this.#logger.warn({ cause: String(error) }, 'the lease of the chores was not given back; it runs out by itself');
    });
  }

  async #keepOn(): Promise<void> {
    const beatMs = Math.min(this.#options.intervalMs, this.#options.leaseMs / 4);
    while (!this.#stop.signal.aborted) {
      this.#startDue(this.#ofEach, this.#stop.signal, beatMs);
      await this.#renew();
      if (this.#tenure !== null) this.#startDue(this.#ofHolder, this.#tenure.signal, beatMs);
      await pause(this.#clock, beatMs, this.#stop.signal);
    }
  }

  async #renew(): Promise<void> {
    const { bootId, leaseMs } = this.#options;
    const validUntilMs = this.#clock.monotonicMs() + leaseMs;
    this.#mayHold = true;
    try {
      const isHeld = await this.#lease.hold(bootId, leaseMs);
      this.#trouble.end();
      this.#calm.noteAnswer();
      if (isHeld) this.#extendTenure(validUntilMs);
      else this.#endTenure();
    } catch (error) {
      this.#calm.noteFailure();
      this.#trouble.note({ cause: String(error) });
    }
  }

  #extendTenure(validUntilMs: number): void {
    const leftMs = validUntilMs - this.#clock.monotonicMs();
    if (leftMs <= 0 || this.#stop.signal.aborted) return;
    this.#cancelTenureEnd();
    this.#cancelTenureEnd = this.#clock.setTimer(() => this.#endTenure(), leftMs);
    if (this.#tenure !== null) return;
    this.#tenure = new AbortController();
    this.#logger.info({}, 'this instance does the chores');
  }

  #endTenure(): void {
    this.#cancelTenureEnd();
    if (this.#tenure === null) return;
    this.#tenure.abort();
    this.#tenure = null;
    this.#logger.info({}, 'this instance does the chores no more');
  }

  /** A timer may fire a little early: what is due before the middle of the next beat is due now. */
  #startDue(duties: readonly Duty[], signal: AbortSignal, beatMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    for (const duty of duties) {
      if (duty.running === null && duty.nextAtMs <= nowMs + beatMs / 2) this.#startDuty(duty, signal);
    }
  }

  #startDuty(duty: Duty, signal: AbortSignal): void {
    duty.nextAtMs = this.#clock.monotonicMs() + duty.chore.everyMs;
    duty.running = runOnce(duty, signal).finally(() => {
      duty.running = null;
    });
  }
}

/** Never rejects: no chore's failure is another's. */
async function runOnce({ chore, trouble }: Duty, signal: AbortSignal): Promise<void> {
  try {
    await chore.run(signal);
    trouble.end();
  } catch (error) {
    if (!signal.aborted) trouble.note({ cause: String(error) });
  }
}
