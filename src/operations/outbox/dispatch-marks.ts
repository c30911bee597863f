import type { Clock } from '../../runtime/clock.ts';
import type { OperationEvent } from '../store-ports.ts';
import type { ChangeWriter } from './change-writer.ts';

interface Mark {
  readonly event: OperationEvent;
  readonly dueAtMs: number;
  readonly resolve: () => void;
  state: 'waiting' | 'settling' | 'writing';
}

/**
 * The marks that commands are on the log, each held back for a moment: the reply of a fast worker comes meanwhile, and
 * then the transaction that settles it says all there is to say, and the mark costs nothing. A mark that is lost with the
 * process costs a second sending, which workers de-duplicate.
 *
 * Invariant: in the order of being due; a mark stays until it is written or its operation's settlement is committed.
 */
export class DispatchMarks {
  readonly #changeWriter: ChangeWriter;
  readonly #clock: Clock;
  readonly #delayMs: number;
  readonly #marks = new Map<string, Mark>();
  #cancelTimer: (() => void) | null = null;
  #isHurried = false;

  constructor(changeWriter: ChangeWriter, options: { readonly delayMs: number }, deps: { readonly clock: Clock }) {
    this.#changeWriter = changeWriter;
    this.#delayMs = options.delayMs;
    this.#clock = deps.clock;
  }

  /** Resolves once the row says so, or says more. At stop, or after `hurry`, it is written at once. */
  add(operationId: string, event: OperationEvent): Promise<void> {
    if (this.#isHurried) return this.#changeWriter.write({ operationId, events: [event] });
    return new Promise((resolve) => {
      const dueAtMs = this.#clock.monotonicMs() + this.#delayMs;
      this.#marks.set(operationId, { event, dueAtMs, resolve, state: 'waiting' });
      this.#cancelTimer ??= this.#clock.setTimer(() => this.#writeDue(), this.#delayMs);
    });
  }

  /** For a settlement of this operation: the mark goes with it. Null where there is none, or it is being written. */
  takeAlong(operationId: string): OperationEvent | null {
    const mark = this.#marks.get(operationId);
    if (mark?.state !== 'waiting') return null;
    mark.state = 'settling';
    return mark.event;
  }

  /** The settlement is committed. */
  complete(operationId: string): void {
    const mark = this.#marks.get(operationId);
    if (mark?.state === 'settling') this.#end(operationId, mark);
  }

  /** The settlement was not committed, or not for certain. */
  putBack(operationId: string): void {
    const mark = this.#marks.get(operationId);
    if (mark?.state !== 'settling') return;
    mark.state = 'waiting';
    if (this.#isHurried) this.#write(operationId, mark);
    else this.#cancelTimer ??= this.#clock.setTimer(() => this.#writeDue(), this.#delayMs);
  }

  /** Writes all of them now, and later ones at once. */
  hurry(): void {
    this.#isHurried = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    for (const [operationId, mark] of this.#marks) {
      if (mark.state === 'waiting') this.#write(operationId, mark);
      // A settlement may last as long as an outage: who stops does not wait for it.
      else if (mark.state === 'settling') this.#end(operationId, mark);
    }
  }

  #writeDue(): void {
    this.#cancelTimer = null;
    const nowMs = this.#clock.monotonicMs();
    for (const [operationId, mark] of this.#marks) {
      if (mark.state !== 'waiting') continue;
      if (mark.dueAtMs > nowMs) {
        this.#cancelTimer = this.#clock.setTimer(() => this.#writeDue(), mark.dueAtMs - nowMs);
        return;
      }
      this.#write(operationId, mark);
    }
  }

  #write(operationId: string, mark: Mark): void {
    mark.state = 'writing';
    void this.#changeWriter.write({ operationId, events: [mark.event] }).then(() => this.#end(operationId, mark));
  }

  #end(operationId: string, mark: Mark): void {
    if (this.#marks.get(operationId) === mark) this.#marks.delete(operationId);
    mark.resolve();
  }
}
