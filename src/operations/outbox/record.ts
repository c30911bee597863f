import { backoffDelays, pause } from '../../runtime/backoff.ts';
import { Batcher } from '../../runtime/batch.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import { Trouble } from '../../runtime/trouble.ts';
import type { Operation } from '../operation.ts';
import {
  type Inserted,
  LeaseLostError,
  type LeaseProof,
  type NewOperation,
  type OperationInserts,
  StoreError,
} from '../store-ports.ts';

const REPEAT = { firstMs: 250, maxMs: 5000 };

/**
 * How an insert of unknown outcome ended: what it found, or the certainty that there is no row. `stopped`: nobody knows,
 * and nobody may act as if they did.
 */
export type KnownOutcome<Result> = Result | 'absent' | 'stopped';

export interface RecorderOptions {
  /** Of one transaction; a row larger than `maxBytes` goes alone. */
  readonly maxItems: number;
  readonly maxBytes: number;
  /** Accepts that may wait for the database, and as many promotions. */
  readonly maxPendingItems: number;
  readonly maxPendingBytes: number;
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
  readonly #accepts: Batcher<NewOperation, Inserted>;
  readonly #promotions: Batcher<Promotion, Operation>;
  readonly #clock: Clock;
  readonly #trouble: Trouble;
  readonly #stop = new AbortController();

  constructor(inserts: OperationInserts, options: RecorderOptions, deps: { clock: Clock; logger: Logger }) {
    const { maxItems, maxBytes, maxPendingItems, maxPendingBytes } = options;
    const bounds = { maxItems, maxBytes, maxPendingItems, maxPendingBytes };
    this.#accepts = new Batcher({
      ...bounds,
      sizeOf: sizeOfRow,
      flush: (operations) => insertApart(inserts, operations),
    });
    this.#promotions = new Batcher({
      ...bounds,
      sizeOf: ({ operation }) => sizeOfRow(operation),
      flush: (promotions) => promoteByLease(inserts, promotions),
    });
    this.#clock = deps.clock;
    this.#trouble = new Trouble('inserts of unknown outcome are repeated', deps.logger);
  }

  /** Rejects with `BatchFullError` or `StoreError`. */
  accept(operation: NewOperation): Promise<Inserted> {
    return this.#accepts.submit(operation);
  }

  /** Rejects with `BatchFullError`, `LeaseLostError` or `StoreError`. */
  promote(operation: NewOperation, lease: LeaseProof): Promise<Operation> {
    return this.#promotions.submit({ operation, lease });
  }

  acceptUntilKnown(operation: NewOperation): Promise<KnownOutcome<Inserted>> {
    return this.#repeat(operation.id, () => this.accept(operation));
  }

  promoteUntilKnown(operation: NewOperation, lease: LeaseProof): Promise<KnownOutcome<Operation>> {
    return this.#repeat(operation.id, () => this.promote(operation, lease));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all([this.#accepts.drain(), this.#promotions.drain()]);
  }

  async #repeat<Result>(operationId: string, insert: () => Promise<Result>): Promise<KnownOutcome<Result>> {
    for (const delayMs of backoffDelays(REPEAT)) {
      await pause(this.#clock, delayMs, this.#stop.signal);
      if (this.#stop.signal.aborted) return 'stopped';
      try {
        const result = await insert();
        this.#trouble.end();
        return result;
      } catch (error) {
        if (error instanceof LeaseLostError) return 'absent';
        this.#trouble.note({ operationId, cause: String(error) });
      }
    }
    return 'stopped';
  }
}

function sizeOfRow({ record }: NewOperation): number {
  return record.value.byteLength;
}

/** Whether the failed insert may have left a row. */
export function mayBeRecorded(error: unknown): boolean {
  return error instanceof StoreError && !error.certainlyNotWritten;
}

/** What the database refuses is halved until only what is at fault fails: a row must not take those of others along. */
async function insertApart(
  inserts: OperationInserts,
  operations: readonly NewOperation[],
): Promise<readonly (Inserted | Error)[]> {
  try {
    return await inserts.insert(operations);
  } catch (error) {
    const isWorthHalving = error instanceof StoreError && error.refused && operations.length > 1;
    if (!isWorthHalving) return operations.map(() => error as Error);
    const middle = operations.length >> 1;
    const first = await insertApart(inserts, operations.slice(0, middle));
    return [...first, ...(await insertApart(inserts, operations.slice(middle)))];
  }
}

/** Calls of one instance share its home lease, but for the moment in which it changes. */
async function promoteByLease(
  inserts: OperationInserts,
  promotions: readonly Promotion[],
): Promise<readonly (Operation | Error)[]> {
  const results: (Operation | Error)[] = [];
  for (const [, group] of Map.groupBy(promotions.entries(), ([, { lease }]) => `${lease.partition}/${lease.fence}`)) {
    const answers = await promoteGroup(
      inserts,
      group.map(([, promotion]) => promotion),
    );
    group.forEach(([index], place) => {
      results[index] = answers[place] as Operation | Error;
    });
  }
  return results;
}

/**
 * Without the lease the group is asked again one by one: among new rows, which are refused, may be the repeat of one that
 * was committed while the lease was held, and that one counts. So is one of which the database refuses something.
 */
async function promoteGroup(
  inserts: OperationInserts,
  group: readonly Promotion[],
): Promise<readonly (Operation | Error)[]> {
  const promote = (promotions: readonly Promotion[]) =>
    inserts
      .promote(
        promotions.map(({ operation }) => operation),
        (promotions[0] as Promotion).lease,
      )
      .catch((error: Error) => promotions.map(() => error));
  const answers = await promote(group);
  if (group.length === 1 || !isWorthAskingApart(answers[0])) return answers;
  const oneByOne: (Operation | Error)[] = [];
  for (const promotion of group) oneByOne.push(...(await promote([promotion])));
  return oneByOne;
}

function isWorthAskingApart(answer: Operation | Error | undefined): boolean {
  return answer instanceof LeaseLostError || (answer instanceof StoreError && answer.refused);
}
