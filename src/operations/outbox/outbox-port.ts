import type { CommandRecord } from '../channel-ports.ts';

/** A recorded command that is not on the log yet, as its row keeps it. */
export interface OutboxRow {
  readonly operationId: string;
  readonly command: string;
  /** As it was accepted; of a later attempt it is sealed anew. */
  readonly record: CommandRecord;
  readonly attempt: number;
  readonly deadlineMs: number;
  readonly endsAtAck: boolean;
  /** True where an earlier claimer may have sent it. */
  readonly maybeSent: boolean;
  readonly ordered: boolean;
}

export interface ClaimBounds {
  readonly maxItems: number;
  readonly maxBytes: number;
  /** Also what instances have claimed that are dead. */
  readonly ofTheDead: boolean;
  /** Topics for which there is no room: theirs must not stand before those of others. */
  readonly exceptTopics: readonly string[];
}

/** The rows whose record is not on the log: the operation row is the outbox. Every method throws `StoreError`. */
export interface Outbox {
  /**
   * Claims, in one committed statement, rows that nobody has claimed and, with `ofTheDead`, rows whose claimer is dead (these
   * are then `maybeSent`), oldest first. Of ordered ones only the first of its topic and key that is unpublished, whoever claims
   * the earlier ones. A row past its deadline that was never sent is left to expiry.
   */
  claimAbandoned(bootId: string, bounds: ClaimBounds): Promise<readonly OutboxRow[]>;
  /** Ids of unpublished rows that this boot has claimed, oldest first, older than `minAgeMs`. */
  listClaimed(
    bootId: string,
    options: { readonly minAgeMs: number; readonly limit: number },
  ): Promise<readonly string[]>;
  /** Of these ids the rows that are still unpublished and claimed by this boot. */
  loadClaimed(bootId: string, operationIds: readonly string[]): Promise<readonly OutboxRow[]>;
  /** Gives claims back: somebody else publishes. `maybeSent` of a row is never taken back. */
  giveBack(
    bootId: string,
    rows: readonly { readonly operationId: string; readonly maybeSent: boolean }[],
  ): Promise<void>;
  /**
   * In-process channel, whose log died with its process: every operation of an earlier boot that is not done is unpublished
   * again. Those with an attempt left are redriven and claimed by this boot; the others fail, `unknown`. Returns both counts.
   */
  restart(bootId: string): Promise<{ readonly redriven: number; readonly failed: number }>;
}
