import type { ResealCommand } from '../operations/channel-ports.ts';
import type { Dispatcher } from '../operations/outbox/dispatch.ts';
import type { ClaimBounds, Outbox, OutboxRow } from '../operations/outbox/outbox-port.ts';
import { Failure } from '../runtime/failure.ts';

/** The part of the dispatcher that chores lean on. */
export type CommandDispatcher = Pick<Dispatcher, 'room' | 'holds' | 'reserve' | 'dispatch'>;

/** A row that is being published. */
export interface TakenRow {
  readonly row: OutboxRow;
  /** Resolves once the dispatcher has no more to do with it. */
  readonly published: Promise<void>;
}

export interface UptakeDeps {
  readonly bootId: string;
  readonly outbox: Outbox;
  readonly dispatcher: CommandDispatcher;
  readonly reseal: ResealCommand;
  /** Database time as far as this instance knows it, Unix ms. */
  readonly nowMs: () => number;
}

/** Rows are loaded with their payloads: few at a time. */
const LOAD_ITEMS = 20;
/** Of one claim, however much room there is: statements stay small. */
const MAX_CLAIM_BYTES = 8 * 1024 * 1024;

/**
 * Hands rows of the outbox to the dispatcher. Whoever reads rows in order to hand them over does it inside `exclusively`:
 * a row that was read before another chore took it, published it and forgot it would be sent a second time.
 */
export class Uptake {
  readonly #deps: UptakeDeps;
  #lastTurn: Promise<unknown> = Promise.resolve();

  constructor(deps: UptakeDeps) {
    this.#deps = deps;
  }

  /** Null where the dispatcher has no room. */
  room(maxItems: number): Omit<ClaimBounds, 'ofTheDead'> | null {
    const { items, bytes, fullTopics } = this.#deps.dispatcher.room();
    if (items <= 0 || bytes <= 0) return null;
    const maxBytes = Math.min(MAX_CLAIM_BYTES, bytes);
    return { maxItems: Math.min(maxItems, items), maxBytes, exceptTopics: fullTopics };
  }

  holds(operationId: string): boolean {
    return this.#deps.dispatcher.holds(operationId);
  }

  exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#lastTurn.then(work);
    this.#lastTurn = turn.catch(() => undefined);
    return turn;
  }

  /** Gives back to the outbox what the dispatcher has no room for. Returns what is being published. Throws `StoreError`. */
  async take(rows: readonly OutboxRow[]): Promise<readonly TakenRow[]> {
    const taken: TakenRow[] = [];
    const surplus: OutboxRow[] = [];
    for (const row of rows) {
      if (this.holds(row.operationId)) continue;
      const published = this.#dispatch(row);
      if (published === null) surplus.push(row);
      else taken.push({ row, published });
    }
    if (surplus.length > 0) await this.#deps.outbox.giveBack(this.#deps.bootId, surplus);
    return taken;
  }

  /** `loadAndTake` for rows that this boot has just claimed, or misses. Throws `StoreError`. */
  takeUp(operationIds: readonly string[]): Promise<number> {
    return this.exclusively(() => this.loadAndTake(operationIds.filter((id) => !this.holds(id))));
  }

  /**
   * Takes those of these rows that this boot has claimed and nobody has published. They may all have been sent before. One
   * past its deadline is left to expiry. Returns how many. Throws `StoreError`.
   */
  async loadAndTake(operationIds: readonly string[]): Promise<number> {
    const { outbox, bootId, nowMs } = this.#deps;
    let count = 0;
    for (let start = 0; start < operationIds.length; start += LOAD_ITEMS) {
      const rows = await outbox.loadClaimed(bootId, operationIds.slice(start, start + LOAD_ITEMS));
      const due = rows.filter(({ deadlineMs }) => deadlineMs > nowMs());
      count += (await this.take(due.map((row) => ({ ...row, maybeSent: true })))).length;
    }
    return count;
  }

  /** Null where there is no room. */
  #dispatch(row: OutboxRow): Promise<void> | null {
    const { dispatcher, reseal } = this.#deps;
    const { operationId, attempt, deadlineMs, endsAtAck, maybeSent, ordered } = row;
    const record = reseal(row.record, { attempt, deadlineMs });
    try {
      dispatcher.reserve(record, operationId);
    } catch (error) {
      if (error instanceof Failure) return null;
      throw error;
    }
    return dispatcher.dispatch({ operationId, record, attempt, deadlineMs, endsAtAck, maybeSent, ordered });
  }
}
