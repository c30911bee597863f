import type { Clock } from '../runtime/clock.ts';
import { type Chore, orAborted } from './chore.ts';
import type { DueOperations, ReplyLog } from './ports.ts';

/** Every reply that was on the log at `databaseMs` has been settled. */
export interface Mark {
  /** Database time, Unix ms. */
  readonly databaseMs: number;
  /** Monotonic: this instance began to ask for it then. */
  readonly proposedAtMs: number;
}

interface Candidate extends Mark {
  readonly ends: ReadonlyMap<number, bigint>;
  readonly isSecond: boolean;
}

/**
 * The time up to which silence is proof. First the database's time is taken, then the ends of the reply topic: whatever a
 * worker had said by that time lies below them, and once every partition is settled up to its end, an operation that is
 * still open has had no answer by then. Without it an outage of ten minutes would expire what was finished meanwhile.
 *
 * Then the ends are taken, and reached, a second time: a reply below the first ones may have been sent on to its home
 * partition, past that partition's end. A reply is sent on once at the most, and is on its home partition before the read
 * position passes it, so twice is enough.
 *
 * A candidate is kept until it is reached: if newer ones took its place, a bus with steady traffic would reach none.
 */
export class Watermark implements Chore {
  readonly name = 'watermark';
  readonly everyMs: number;
  readonly #due: DueOperations;
  readonly #log: ReplyLog;
  readonly #clock: Clock;
  #candidate: Candidate | null = null;
  #reached: Mark | null = null;

  constructor(options: { readonly everyMs: number }, deps: { due: DueOperations; log: ReplyLog; clock: Clock }) {
    this.everyMs = options.everyMs;
    this.#due = deps.due;
    this.#log = deps.log;
    this.#clock = deps.clock;
  }

  /** Null until the first one. An old one stays true. */
  get reached(): Mark | null {
    return this.#reached;
  }

  async run(signal: AbortSignal): Promise<void> {
    const first = this.#candidate ?? (await this.#propose(signal));
    if (!(await this.#tryToReach(first, signal)) || first.isSecond) return;
    const second = { ...first, ends: await this.#readEnds(signal), isSecond: true };
    await this.#tryToReach(second, signal);
  }

  async #propose(signal: AbortSignal): Promise<Candidate> {
    const proposedAtMs = this.#clock.monotonicMs();
    const databaseMs = await this.#due.nowMs();
    // Only now: a reply that came between the two would be looked for below ends that do not hold it.
    return { databaseMs, proposedAtMs, ends: await this.#readEnds(signal), isSecond: false };
  }

  async #tryToReach(candidate: Candidate, signal: AbortSignal): Promise<boolean> {
    this.#candidate = candidate;
    if (!isReached(candidate.ends, await this.#due.readPositions())) {
      if (await this.#isLogCut(candidate, signal)) this.#candidate = null;
      return false;
    }
    if (candidate.isSecond) {
      this.#reached = { databaseMs: candidate.databaseMs, proposedAtMs: candidate.proposedAtMs };
      this.#candidate = null;
    }
    return true;
  }

  /** A topic that was made anew never comes to the ends of the old one. */
  async #isLogCut(candidate: Candidate, signal: AbortSignal): Promise<boolean> {
    const ends = await this.#readEnds(signal);
    return [...candidate.ends].some(([partition, end]) => (ends.get(partition) ?? 0n) < end);
  }

  async #readEnds(signal: AbortSignal): Promise<ReadonlyMap<number, bigint>> {
    const partitions = await orAborted(this.#log.partitions(), signal);
    const bounds = await orAborted(this.#log.bounds(partitions), signal);
    const unknown = partitions.filter((partition) => !bounds.has(partition));
    if (partitions.length === 0 || unknown.length > 0) {
      throw new Error(`the ends of the reply topic are not known: ${partitions.length} partitions, not of ${unknown}`);
    }
    return new Map([...bounds].map(([partition, { end }]) => [partition, end]));
  }
}

/** A partition without a lease row has no reader, so what it holds is not known. */
function isReached(ends: ReadonlyMap<number, bigint>, positions: ReadonlyMap<number, bigint>): boolean {
  for (const [partition, end] of ends) {
    const position = positions.get(partition);
    if (position === undefined || position < end) return false;
  }
  return true;
}
