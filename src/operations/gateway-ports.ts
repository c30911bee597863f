/** What operations lean on inside the gateway: the home lease (`replies/leases.ts`) and the waiting (`delivery/waiters.ts`). */
import type { Operation } from './operation.ts';
import type { LeaseProof } from './store-ports.ts';

/** The reply partition that is this instance's own, until it is known to be another's: who writes shows the fence. */
export interface HomeLease {
  /** Null while there is none: the instance is not ready. */
  home(): LeaseProof | null;
}

/** Waiting for recorded operations; `delivery/waiters.ts`. */
export interface SettlementWaits {
  /**
   * Resolves with the snapshot once it is `until` (by default done), or with the newest known one at `untilMs`
   * (monotonic) or when `signal` aborts. Null where no row was ever seen. Registers first, then reads.
   */
  waitFor(
    operationId: string,
    options: {
      readonly untilMs: number;
      readonly signal: AbortSignal;
      /** What to wait for; by default that it is done. */
      readonly until?: (operation: Operation) => boolean;
      /** A snapshot that the caller has just got from the store: spares the first read. */
      readonly known?: Operation;
    },
  ): Promise<Operation | null>;
  /** Tells waiters of this instance what a transaction returned. */
  wake(operations: readonly Operation[]): void;
}
