import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import { Trouble } from '../runtime/trouble.ts';
import { orAborted } from './chore.ts';
import type { SilentOperation, WorkerProgress } from './ports.ts';
import type { Mark } from './watermark.ts';

interface Answer {
  readonly askedMs: number;
  readonly committed: ReadonlyMap<number, bigint>;
}

interface Known {
  /** From before the mark was proposed. */
  usable: Answer | null;
  /** From after it: for a later mark. */
  fresh: Answer | null;
}

/** Groups that are asked at once. */
const MAX_ASKED_AT_ONCE = 10;
/** Pairs of group and topic that are remembered; a contract has a few. */
const MAX_KNOWN = 1000;

type Followed = SilentOperation & { readonly workerGroup: string };

/**
 * Says whether the group of workers has passed an operation's record. An answer counts only for a mark that was proposed
 * after it: workers commit once their reply is acknowledged, so a reply that was on its way while the group's offset was
 * read may lie past the ends of an earlier mark, and the command would be sent again beside its answer.
 */
export class WorkerPositions {
  readonly #workers: WorkerProgress;
  readonly #clock: Clock;
  readonly #trouble: Trouble;
  readonly #known = new Map<string, Known>();

  constructor(workers: WorkerProgress, deps: { readonly clock: Clock; readonly logger: Logger }) {
    this.#workers = workers;
    this.#clock = deps.clock;
    this.#trouble = new Trouble(
      'a worker group cannot be asked how far it is, and nothing of it is re-driven',
      deps.logger,
    );
  }

  /** Asks each group and topic once at the most. What is not known is not passed. Throws only when `signal` aborts. */
  async listPassed(
    operations: readonly SilentOperation[],
    mark: Mark,
    signal: AbortSignal,
  ): Promise<readonly SilentOperation[]> {
    await this.#refresh(operations.filter(isFollowed), mark, signal);
    return operations.filter((operation) => !isFollowed(operation) || this.#hasPassed(operation));
  }

  #hasPassed(operation: Followed): boolean {
    const committed = this.#known.get(nameOf(operation))?.usable?.committed.get(operation.publishedPartition);
    return committed !== undefined && committed > operation.publishedOffset;
  }

  async #refresh(operations: readonly Followed[], mark: Mark, signal: AbortSignal): Promise<void> {
    const pairs = new Map(operations.map((operation) => [nameOf(operation), operation]));
    const stale = [...pairs].filter(([name]) => this.#promote(name, mark).fresh === null);
    for (let start = 0; start < stale.length; start += MAX_ASKED_AT_ONCE) {
      const some = stale.slice(start, start + MAX_ASKED_AT_ONCE);
      await Promise.all(some.map(([name, { workerGroup, topic }]) => this.#ask(name, workerGroup, topic, signal)));
      signal.throwIfAborted();
    }
  }

  #promote(name: string, mark: Mark): Known {
    const known = this.#known.get(name) ?? { usable: null, fresh: null };
    if (known.fresh !== null && known.fresh.askedMs < mark.proposedAtMs) {
      known.usable = known.fresh;
      known.fresh = null;
    }
    this.#known.delete(name);
    this.#known.set(name, known);
    const oldest = this.#known.keys().next();
    if (this.#known.size > MAX_KNOWN && oldest.done !== true) this.#known.delete(oldest.value);
    return known;
  }

  async #ask(name: string, group: string, topic: string, signal: AbortSignal): Promise<void> {
    try {
      const committed = await orAborted(this.#workers.committed(group, topic), signal);
      const known = this.#known.get(name);
      if (known) known.fresh = { askedMs: this.#clock.monotonicMs(), committed };
      this.#trouble.end();
    } catch (error) {
      if (!signal.aborted) this.#trouble.note({ group, topic, cause: String(error) });
    }
  }
}

function isFollowed(operation: SilentOperation): operation is Followed {
  return operation.workerGroup !== null;
}

function nameOf({ workerGroup, topic }: Followed): string {
  return `${workerGroup}\u0000${topic}`;
}
