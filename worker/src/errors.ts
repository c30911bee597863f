/** The gRPC codes that an error reply may carry (google/rpc/code.proto), without OK. */
export const ERROR_CODES = [
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

export function isErrorCode(text: unknown): text is ErrorCode {
  return ERROR_CODES.includes(text as ErrorCode);
}

/**
 * The answer "no" of a handler: becomes an error reply with this code, message and details, all shown to the caller.
 * Anything else that a handler throws becomes `INTERNAL` without its message.
 */
export class CommandError extends Error {
  override readonly name: string = 'CommandError';
  readonly code: ErrorCode;
  /** A list of JSON objects, or undefined; by convention `google.rpc` details with `@type`. */
  readonly details: readonly unknown[] | undefined;

  /** Throws a TypeError for a code that is none of `ERROR_CODES`: a misspelt one would reach callers as UNKNOWN. */
  constructor(code: ErrorCode, message: string, details?: readonly unknown[]) {
    super(message);
    if (!isErrorCode(code)) throw new TypeError(`code: expected one of ${ERROR_CODES.join(', ')}; got ${String(code)}`);
    this.code = code;
    this.details = details;
  }
}

/** What became of a command that a call failed for: never handed to the bus, anybody's guess, or answered with an error. */
export type Delivery = 'not_sent' | 'unknown' | 'failed';

/** What `CommandClient.call` throws. A handler that lets it through answers its own caller with the same code. */
export class CommandCallError extends CommandError {
  override readonly name = 'CommandCallError';
  /** The method that was called, `package.Service/Method`. */
  readonly method: string;
  readonly delivery: Delivery;

  constructor(
    method: string,
    delivery: Delivery,
    error: { code: ErrorCode; message: string; details?: readonly unknown[] | undefined },
  ) {
    super(error.code, error.message, error.details);
    this.method = method;
    this.delivery = delivery;
  }
}
