import type { Logger } from '../runtime/log.ts';
import type { LeaseRow } from './ports.ts';
import type { ReplyLoop } from './reply-loop.ts';

/**
 * Notices a database that has lost commits, as after a failover to an asynchronous standby: a read position stands below what
 * this instance has settled. No transaction that expects the position of before would ever be taken again; so the lease is
 * taken anew, and what comes after the row's position is read and settled again.
 */
export class LostCommits {
  readonly #loop: ReplyLoop;
  readonly #logger: Logger;
  /** How far each partition was settled here, as of a heartbeat's begin: a row that is read after it cannot stand below. */
  readonly #settledTo = new Map<number, bigint>();

  constructor({ loop, logger }: { readonly loop: ReplyLoop; readonly logger: Logger }) {
    this.#loop = loop;
    this.#logger = logger;
  }

  /** A heartbeat begins. */
  notePositions(): void {
    for (const { partition, committed } of this.#loop.cursors()) this.#settledTo.set(partition, committed);
  }

  show({ partition, nextOffset }: LeaseRow): boolean {
    return nextOffset < (this.#settledTo.get(partition) ?? nextOffset);
  }

  /** The partition is about to be read. Calls that had ended are forgotten here, and their rows may be open again. */
  prepare(lease: LeaseRow): void {
    if (!this.show(lease)) return;
    const { partition, nextOffset } = lease;
    const settledTo = String(this.#settledTo.get(partition));
    this.#logger.error(
      { partition, nextOffset: String(nextOffset), settledTo },
      'the database has lost commits: replies are settled again',
    );
    this.#settledTo.delete(partition);
    this.#loop.lookUpForgotten();
  }
}
