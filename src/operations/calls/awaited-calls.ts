import { Failure } from '../../runtime/failure.ts';
import { RETRY_AFTER_MS } from '../failures.ts';
import { AwaitedCall } from './awaited-call.ts';

export interface AwaitedCallBounds {
  readonly maxOpenCalls: number;
  readonly maxOpenBytes: number;
  readonly maxRecordedCalls: number;
}

/**
 * The calls of this instance that replies are offered to, by operation id: those that wait, those being promoted, and
 * promoted ones until they are done.
 */
export class AwaitedCalls {
  readonly #calls = new Map<string, AwaitedCall>();
  readonly #bounds: AwaitedCallBounds;
  #openCalls = 0;
  /** Bytes of the requests of open calls: what a flood of slow answers would fill memory with. */
  #openBytes = 0;
  /** Ids of promoted calls, oldest first. */
  readonly #recorded = new Set<string>();
  #forgotRecorded = false;

  constructor(bounds: AwaitedCallBounds) {
    this.#bounds = bounds;
  }

  get openCalls(): number {
    return this.#openCalls;
  }

  /**
   * True once a promoted call was forgotten to keep the bound, or ended in commits that are lost. From then on a reply to a
   * call of this boot that is not here may still have a row, so it must be looked up instead of dropped.
   */
  get forgotRecorded(): boolean {
    return this.#forgotRecorded;
  }

  /** The store has lost commits: what was forgotten as done may be open again. */
  lookUpForgotten(): void {
    this.#forgotRecorded = true;
  }

  /** Throws `Failure` `OVERLOADED` at the bounds of open calls. */
  open(id: string, sizeBytes: number): AwaitedCall {
    const { maxOpenCalls, maxOpenBytes } = this.#bounds;
    if (this.#openCalls >= maxOpenCalls) throw overloaded(`${maxOpenCalls} calls`);
    if (this.#openBytes + sizeBytes > maxOpenBytes) throw overloaded(`calls of ${maxOpenBytes} bytes`);
    const call = new AwaitedCall(id, sizeBytes);
    this.#calls.set(id, call);
    this.#openCalls += 1;
    this.#openBytes += sizeBytes;
    return call;
  }

  /** Ends every wait now: a promise where the command allows one, else 504. For draining. */
  expireAll(): void {
    for (const call of this.#calls.values()) call.expire();
  }

  get(id: string): AwaitedCall | undefined {
    return this.#calls.get(id);
  }

  /** The caller has its answer and no row exists or is wanted. */
  close(call: AwaitedCall): void {
    call.close();
    if (this.#calls.delete(call.id)) this.#release(call);
  }

  /** The call has a row: it is no longer open, but its replies are known to have one until it is done. */
  keepRecorded(call: AwaitedCall): void {
    this.#release(call);
    this.#recorded.add(call.id);
    if (this.#recorded.size <= this.#bounds.maxRecordedCalls) return;
    const oldest = this.#recorded.values().next().value as string;
    this.forget(oldest);
    this.#forgotRecorded = true;
  }

  /** The operation is done: a later reply to it is stale. */
  forget(id: string): void {
    if (this.#recorded.delete(id)) this.#calls.delete(id);
  }

  #release(call: AwaitedCall): void {
    this.#openCalls -= 1;
    this.#openBytes -= call.sizeBytes;
  }
}

function overloaded(held: string): Failure {
  return new Failure('OVERLOADED', `${held} are open, the most this gateway holds`, { retryAfterMs: RETRY_AFTER_MS });
}
