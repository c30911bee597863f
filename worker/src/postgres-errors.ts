/** The five characters of PostgreSQL's error codes (appendix A of its manual); undefined for an error that it did not send. */
export function sqlStateOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

export const LOCK_NOT_AVAILABLE = '55P03';
export const IN_FAILED_TRANSACTION = '25P02';

/** Of contests between transactions: all of one is undone, and a repetition may win. */
export function isContest(error: unknown): boolean {
  return /^40(?:001|P01)$/.test(sqlStateOf(error) ?? '');
}

/** Whether a commit that met this error may stand all the same: the connection ended before the server could say. */
export function leavesCommitUnclear(error: unknown): boolean {
  const state = sqlStateOf(error);
  return state === undefined || /^(?:08|57)/.test(state);
}

/** A handler has ended the transaction that was not its own to end. */
export class MarkWithoutReply extends Error {
  override readonly name = 'MarkWithoutReply';
}

/** Connections refused or ended by the server, no room, a standby in the primary's place, contests that a repetition ends. */
const TRANSIENT = /^(?:08...|53...|57P0[1-5]|57014|40001|40P01|55P03|25006|25P0[34])$/;

/**
 * Whether a repetition may succeed. What did not come from PostgreSQL is a connection's trouble, but for mistakes in the
 * program.
 */
export function isTransient(error: unknown): boolean {
  const state = sqlStateOf(error);
  if (state !== undefined) return TRANSIENT.test(state);
  return ![TypeError, RangeError, ReferenceError, MarkWithoutReply].some((mistake) => error instanceof mistake);
}
