import { StoreError } from '../operations/store-ports.ts';
import { adviseOnRight, MISSING_RIGHT } from './missing-right.ts';

/** SQLSTATE of a driver's error, or of the driver's error inside a `StoreError`; null where there is none. */
export function sqlStateOf(error: unknown): string | null {
  if (error instanceof StoreError) return sqlStateOf(error.cause);
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : null;
}

/** Deadlock or serialisation failure: the server rolled back, and the same again may well succeed. */
export function isTransient(error: unknown): boolean {
  const state = sqlStateOf(error);
  return state === '40P01' || state === '40001';
}

export function isUniqueViolation(error: unknown): boolean {
  return sqlStateOf(error) === '23505';
}

/** A row was not written, because it no longer has the version that the change was made from (`functions/write-operations.sql`). */
export function hasChangedSince(error: unknown): boolean {
  return sqlStateOf(error) === 'SL001';
}

/** The database answers, and is none that a gateway may work on. */
export class RefusedDatabaseError extends StoreError {
  constructor(message: string) {
    super(message, { certainlyNotWritten: true });
  }
}

/**
 * Whether waiting cannot help: the server answered, and refused who or what we are (authorisation, no such database,
 * missing privilege, a statement that it does not take), or we refuse it. A server that starts, stops or is full is none of
 * these.
 */
export function isDefinite(error: unknown): boolean {
  if (error instanceof RefusedDatabaseError) return true;
  const state = sqlStateOf(error);
  return state !== null && /^(28|3D|42)/.test(state);
}

export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  if (error instanceof Error) return error.message || error.name;
  return String(error);
}

/**
 * Classes of SQLSTATE with which the server itself says that it has undone a statement: not supported (0A), data (22),
 * constraints (23), transaction state (25), conflicts (40), rights and names (42), resources (53), limits (54), object state
 * (55). Not 08 and 57, with which a connection or the server ends, perhaps after a commit; poolers say 08 of that, too.
 */
const UNDONE = /^(0A|22|23|25|40|42|53|54|55)/;
/** Of these, what says that the fault is in what was asked: of many rows perhaps in one. */
const REFUSED = /^(0A|22|23|42|54)/;

/**
 * What says that it is not the row that is at fault: rights and names (42), resources (53), the system (58), defects of the
 * server (XX), a server that became read-only (25006), statements that it cancels (57014).
 */
const TROUBLE = /^(42|53|58|XX|25006|57014)/;

/** Whether the server answered, and would not have done it for any other row either. */
export function isHealthTrouble(error: unknown): boolean {
  return TROUBLE.test(sqlStateOf(error) ?? '');
}

/**
 * A statement that was handed to the database and did not end well: what it wrote is known only where the server said so.
 * @param role that the connection was opened as, for the advice where it lacks a right; null where it is not known.
 */
export function statementFailed(error: unknown, role: string | null = null): StoreError {
  if (error instanceof StoreError) return error;
  const state = sqlStateOf(error) ?? '';
  const reason = reasonOf(error);
  const advice = state === MISSING_RIGHT ? `. ${adviseOnRight(reason, role)} (docs/operating.md, "The database")` : '';
  return new StoreError(`the database did not do as asked: ${reason}${advice}`, {
    certainlyNotWritten: UNDONE.test(state),
    refused: REFUSED.test(state),
    cause: error,
  });
}

/** No statement was handed over. */
export function notReached(message: string, cause?: unknown): StoreError {
  return new StoreError(message, { certainlyNotWritten: true, cause });
}
