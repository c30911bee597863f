import { Batcher, BatchFullError } from '../../runtime/batch.ts';
import { Failure } from '../../runtime/failure.ts';
import { failureOfRead, RETRY_AFTER_MS, reusedFailure } from '../failures.ts';
import type { Invocation } from '../invocation.ts';
import type { IdempotencyKey, KeyHolder, KeyScope, OperationReads } from '../store-ports.ts';

export interface KeyedCallsOptions {
  /** Keys of one look-up. */
  readonly maxBatch: number;
  readonly maxPendingLookUps: number;
  /** Callers that wait for a call with the same key. */
  readonly maxJoined: number;
}

/** What a call with a key is: a repeat of one that is known, or the first, which then owes the others its operation. */
export type KeyClaim =
  | { readonly kind: 'known'; readonly holder: KeyHolder }
  | {
      readonly kind: 'first';
      /** The key has this operation now. */
      complete(holder: KeyHolder): void;
      /** There is none; who joined fails alike. */
      abandon(error: unknown): void;
    };

/**
 * Calls with an Idempotency-Key. Those of one key that meet in this instance make one operation: the first looks the key
 * up and inserts, the others wait for it. Between instances the unique index of the store decides.
 */
export class KeyedCalls {
  readonly #options: KeyedCallsOptions;
  readonly #lookUps: Batcher<KeyScope, KeyHolder | null>;
  /** By scope; there from the first call's look-up to its insert. */
  readonly #first = new Map<string, { readonly holder: Promise<KeyHolder>; readonly fingerprint: Uint8Array }>();
  #joined = 0;

  constructor(reads: Pick<OperationReads, 'readByKeys'>, options: KeyedCallsOptions) {
    this.#options = options;
    this.#lookUps = new Batcher({
      maxItems: options.maxBatch,
      maxPendingItems: options.maxPendingLookUps,
      flush: (scopes) => reads.readByKeys(scopes),
    });
  }

  /** Throws `Failure` `OVERLOADED` or `STORE_UNAVAILABLE`, or what became of the first call of this key. */
  async claim(invocation: Invocation): Promise<KeyClaim> {
    const scope = scopeOf(invocation);
    const name = JSON.stringify([scope.principal, scope.command, scope.key]);
    const first = this.#first.get(name);
    const { fingerprint } = invocation.idempotency as IdempotencyKey;
    if (first !== undefined) {
      // Whatever becomes of the first one, it is another request.
      if (Buffer.compare(first.fingerprint, fingerprint) !== 0) throw reusedFailure(null);
      return { kind: 'known', holder: await this.#join(first.holder) };
    }
    const holding = Promise.withResolvers<KeyHolder>();
    // Rejected while nobody joined, it would end the process.
    holding.promise.catch(() => undefined);
    this.#first.set(name, { holder: holding.promise, fingerprint });
    const complete = (holder: KeyHolder) => {
      this.#first.delete(name);
      holding.resolve(holder);
    };
    const abandon = (error: unknown) => {
      this.#first.delete(name);
      holding.reject(error);
    };
    try {
      const holder = await this.#lookUp(scope);
      if (holder === null) return { kind: 'first', complete, abandon };
      complete(holder);
      return { kind: 'known', holder };
    } catch (error) {
      abandon(error);
      throw error;
    }
  }

  async #join(first: Promise<KeyHolder>): Promise<KeyHolder> {
    if (this.#joined >= this.#options.maxJoined) throw overloaded(`${this.#joined} calls wait for one with their key`);
    this.#joined += 1;
    try {
      return await first;
    } finally {
      this.#joined -= 1;
    }
  }

  async #lookUp(scope: KeyScope): Promise<KeyHolder | null> {
    try {
      return await this.#lookUps.submit(scope);
    } catch (error) {
      if (error instanceof BatchFullError) throw overloaded('too many keys wait to be looked up');
      // Nothing was written, and this request goes no further.
      throw failureOfRead(error, 'not_sent');
    }
  }
}

function scopeOf({ principal, command, idempotency }: Invocation): KeyScope {
  return { principal: principal.id, command: command.name, key: (idempotency as IdempotencyKey).key };
}

function overloaded(detail: string): Failure {
  return new Failure('OVERLOADED', detail, { retryAfterMs: RETRY_AFTER_MS });
}
