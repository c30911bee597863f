import { backoffDelays, pause } from '../runtime/backoff.ts';
import { Batcher } from '../runtime/batch.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Operation } from './operation.ts';
import { LeaseLostError, type LeaseProof, type NewOperation, type OperationInserts, StoreError } from './ports.ts';

const REPEAT = { firstMs: 250, maxMs: 5000 };

export interface RecorderOptions {
  readonly maxBatch: number;
  /** Accepts and promotions that may wait for the database together. */
  readonly maxPending: number;
}

interface Promotion {
  readonly operation: NewOperation;
  readonly lease: LeaseProof;
}

/**
 * Puts operations into the store, many callers a transaction. An insert of unknown outcome (a lost connection in
 * mid-commit) is repeated until it is known: the row may be there, and a row that nobody publishes would be a promise
 * that nobody keeps.
 */
export class Recorder {
  readonly #accepts: Batcher<NewOperation, Operation>;
  readonly #promotions: Batcher<Promotion, Operation>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #stop = new AbortController();

  constructor(inserts: OperationInserts, options: RecorderOptions, deps: { clock: Clock; logger: Logger }) {
    const bounds = { maxItems: options.maxBatch, maxPendingItems: options.maxPending };
    this.#accepts = new Batcher({ ...bounds, flush: (operations) => inserts.insert(operations) });
    this.#promotions = new Batcher({ ...bounds, flush: (promotions) => promoteByLease(inserts, promotions) });
    this.#clock = deps.clock;
    this.#logger = deps.logger;
  }

  /** Rejects with `BatchFullError` or `StoreError`. */
  accept(operation: NewOperation): Promise<Operation> {
    return this.#accepts.submit(operation);
  }

  /** Rejects with `BatchFullError`, `LeaseLostError` or `StoreError`. */
  promote(operation: NewOperation, lease: LeaseProof): Promise<Operation> {
    return this.#promotions.submit({ operation, lease });
  }

  /** Resolves with the row, or null where it is certain that there is none, or at stop. */
  acceptUntilKnown(operation: NewOperation): Promise<Operation | null> {
    return this.#repeat(operation.id, () => this.accept(operation));
  }

  promoteUntilKnown(operation: NewOperation, lease: LeaseProof): Promise<Operation | null> {
    return this.#repeat(operation.id, () => this.promote(operation, lease));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all([this.#accepts.drain(), this.#promotions.drain()]);
  }

  async #repeat(operationId: string, insert: () => Promise<Operation>): Promise<Operation | null> {
    for (const delayMs of backoffDelays(REPEAT)) {
      await pause(this.#clock, delayMs, this.#stop.signal);
      if (this.#stop.signal.aborted) return null;
      try {
        return await insert();
      } catch (error) {
        if (error instanceof LeaseLostError) return null;
        this.#logger.warn({ operationId, cause: String(error) }, 'an insert of unknown outcome is repeated');
      }
    }
    return null;
  }
}

/** Whether the failed insert may have left a row. */
export function mayBeRecorded(error: unknown): boolean {
  return error instanceof StoreError && !error.certainlyNotWritten;
}

/** Calls of one instance share its home lease, but for the moment in which it changes. */
async function promoteByLease(
  inserts: OperationInserts,
  promotions: readonly Promotion[],
): Promise<readonly (Operation | Error)[]> {
  const results: (Operation | Error)[] = [];
  for (const [, group] of Map.groupBy(promotions.entries(), ([, { lease }]) => `${lease.partition}/${lease.fence}`)) {
    const lease = (group[0] as [number, Promotion])[1].lease;
    const rows = await inserts
      .promote(
        group.map(([, { operation }]) => operation),
        lease,
      )
      .catch((error: Error) => error);
    group.forEach(([index], place) => {
      results[index] = rows instanceof Error ? rows : (rows[place] as Operation);
    });
  }
  return results;
}
