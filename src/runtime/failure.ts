/**
 * The closed list of errors that Sluice answers with, and the one exception that carries them.
 *
 * Every code has an HTTP status (RFC 9110), a gRPC code (google/rpc/code.proto), a title and one sentence for the docs.
 * `test/house-rules.test.ts` holds this list, `docs/errors.md` and the generated OpenAPI together, both ways.
 * Over 300 lines: it is one list.
 */

/** gRPC status codes by name, as in google/rpc/code.proto. */
export const GRPC_CODE = Object.freeze({
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const);

export type GrpcCodeName = keyof typeof GRPC_CODE;

/** HTTP status of each gRPC code, as the comments of google/rpc/code.proto say. */
export const HTTP_STATUS_OF_GRPC_CODE: Readonly<Record<GrpcCodeName, number>> = Object.freeze({
  OK: 200,
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
});

/**
 * What became of the command (docs/errors.md):
 * `not_sent`: no worker will see it, a retry is safe; `unknown`: it may have run or may yet run;
 * `failed`: the worker answered with an error.
 */
export type Delivery = 'not_sent' | 'unknown' | 'failed';

interface FailureKind {
  readonly httpStatus: number;
  readonly grpcCode: GrpcCodeName;
  /**
   * What a failure that says nothing else means: `not_sent` only where the code is a refusal that comes before any dispatch.
   * The cautious word where it may come after: a caller that believes a wrong `not_sent` runs its command twice.
   */
  readonly defaultDelivery: Delivery;
  readonly title: string;
  readonly doc: string;
}

const kinds = {
  REQUEST_MALFORMED: {
    httpStatus: 400,
    grpcCode: 'INVALID_ARGUMENT',
    defaultDelivery: 'not_sent',
    title: 'The request cannot be read',
    doc: 'The body, path or query is not what its media type or encoding says: broken JSON, UTF-8, percent-encoding or protobuf.',
  },
  REQUEST_INVALID: {
    httpStatus: 400,
    grpcCode: 'INVALID_ARGUMENT',
    defaultDelivery: 'not_sent',
    title: 'The request does not fit its contract',
    doc: 'A field is unknown, missing, of the wrong type or against a rule of the contract; `errors` names each one.',
  },
  HEADER_INVALID: {
    httpStatus: 400,
    grpcCode: 'INVALID_ARGUMENT',
    defaultDelivery: 'not_sent',
    title: 'A request header cannot be used',
    doc: 'A header that Sluice acts on has a value that it cannot take; `errors` names the header.',
  },
  IDEMPOTENCY_KEY_REQUIRED: {
    httpStatus: 400,
    grpcCode: 'INVALID_ARGUMENT',
    defaultDelivery: 'not_sent',
    title: 'The command asks for an Idempotency-Key',
    doc: 'The policy of this command takes no call without an `Idempotency-Key` header (gRPC: `idempotency-key` metadata).',
  },
  FEATURE_UNSUPPORTED: {
    httpStatus: 400,
    grpcCode: 'INVALID_ARGUMENT',
    defaultDelivery: 'not_sent',
    title: 'The request asks for something this version does not serve',
    doc: 'The request carries a header whose promise this version cannot keep; it is refused rather than ignored.',
  },
  PAGE_TOKEN_INVALID: {
    httpStatus: 400,
    grpcCode: 'INVALID_ARGUMENT',
    defaultDelivery: 'not_sent',
    title: 'The page token is not one of ours',
    doc: 'A `page_token` must be passed back as it was given, with the same filters.',
  },
  LIST_NOT_PERMITTED: {
    httpStatus: 403,
    grpcCode: 'PERMISSION_DENIED',
    defaultDelivery: 'not_sent',
    title: 'Anonymous callers get no list',
    doc: 'Operations are listed for the principal that made them; an anonymous caller has none, unless the config allows the list.',
  },
  ADMIN_ONLY: {
    httpStatus: 403,
    grpcCode: 'PERMISSION_DENIED',
    defaultDelivery: 'not_sent',
    title: 'Only an admin may do this',
    doc: 'The caller may see the operation, and may not send its command again by hand.',
  },
  ROUTE_NOT_FOUND: {
    httpStatus: 404,
    grpcCode: 'UNIMPLEMENTED',
    defaultDelivery: 'not_sent',
    title: 'No such route',
    doc: 'No command and no route of Sluice has this path (REST) or this method name (gRPC).',
  },
  OPERATION_NOT_FOUND: {
    httpStatus: 404,
    grpcCode: 'NOT_FOUND',
    defaultDelivery: 'not_sent',
    title: 'No such operation',
    doc: 'There is no operation of this id that this caller may see.',
  },
  METHOD_NOT_ALLOWED: {
    httpStatus: 405,
    grpcCode: 'UNIMPLEMENTED',
    defaultDelivery: 'not_sent',
    title: 'The path does not take this method',
    doc: 'The path exists with other HTTP methods; `Allow` lists them.',
  },
  NOT_ACCEPTABLE: {
    httpStatus: 406,
    grpcCode: 'INVALID_ARGUMENT',
    defaultDelivery: 'not_sent',
    title: 'No acceptable representation',
    doc: '`Accept` admits none of the media types that this route can answer with.',
  },
  REQUEST_TIMEOUT: {
    httpStatus: 408,
    grpcCode: 'CANCELLED',
    defaultDelivery: 'not_sent',
    title: 'The request did not arrive in time',
    doc: 'The head or the body of an HTTP request took longer to arrive than the limits of the config allow.',
  },
  OPERATION_DONE: {
    httpStatus: 409,
    grpcCode: 'FAILED_PRECONDITION',
    defaultDelivery: 'unknown',
    title: 'The operation is done',
    doc: 'An operation that has ended stands as it is; its command cannot be sent again.',
  },
  OPERATION_GONE: {
    httpStatus: 410,
    grpcCode: 'NOT_FOUND',
    defaultDelivery: 'unknown',
    title: 'The operation is past its retention',
    doc: 'The id is older than finished operations are kept, and no row is left.',
  },
  REQUEST_TOO_LARGE: {
    httpStatus: 413,
    grpcCode: 'RESOURCE_EXHAUSTED',
    defaultDelivery: 'not_sent',
    title: 'The request is too large',
    doc: 'The body, or the Kafka record made of it, is over the limit that the message names.',
  },
  URI_TOO_LONG: {
    httpStatus: 414,
    grpcCode: 'INVALID_ARGUMENT',
    defaultDelivery: 'not_sent',
    title: 'The path and query are too long',
    doc: 'The request target is over the limit that the message names.',
  },
  MEDIA_TYPE_UNSUPPORTED: {
    httpStatus: 415,
    grpcCode: 'INVALID_ARGUMENT',
    defaultDelivery: 'not_sent',
    title: 'The media type is not served',
    doc: 'The request body has a `Content-Type` or `Content-Encoding` that this route does not read.',
  },
  IDEMPOTENCY_KEY_REUSED: {
    httpStatus: 422,
    grpcCode: 'FAILED_PRECONDITION',
    defaultDelivery: 'not_sent',
    title: 'The Idempotency-Key belongs to another request',
    doc: 'The same caller has used this key for the same command with another payload; this request was not carried out.',
  },
  HEADERS_TOO_LARGE: {
    httpStatus: 431,
    grpcCode: 'INVALID_ARGUMENT',
    defaultDelivery: 'not_sent',
    title: 'The request headers are too large',
    doc: 'There are more header fields, or longer ones, than the limit that the message names.',
  },
  CALL_CANCELLED: {
    httpStatus: 499,
    grpcCode: 'CANCELLED',
    defaultDelivery: 'unknown',
    title: 'The caller went away',
    doc: 'The connection was closed or the call was cancelled before there was an answer; the command may still run.',
  },
  INTERNAL: {
    httpStatus: 500,
    grpcCode: 'INTERNAL',
    defaultDelivery: 'unknown',
    title: 'A defect in Sluice',
    doc: 'Something that should not happen did; the log has the request id and the cause.',
  },
  STREAMING_UNSUPPORTED: {
    httpStatus: 501,
    grpcCode: 'UNIMPLEMENTED',
    defaultDelivery: 'not_sent',
    title: 'Streaming methods are not served yet',
    doc: 'The contract has the method, but it streams, and this version serves unary methods only.',
  },
  COMMAND_FAILED: {
    httpStatus: 500,
    grpcCode: 'UNKNOWN',
    defaultDelivery: 'failed',
    title: 'The worker answered with an error',
    doc: 'The worker refused or failed the command; status and gRPC code are those that the worker gave.',
  },
  REPLY_INVALID: {
    httpStatus: 502,
    grpcCode: 'INTERNAL',
    defaultDelivery: 'unknown',
    title: 'The worker answered with something unreadable',
    doc: 'A reply arrived that is not what the contract says a reply is; the command has run in some way.',
  },
  RESULT_TOO_LARGE: {
    httpStatus: 502,
    grpcCode: 'INTERNAL',
    defaultDelivery: 'unknown',
    title: 'The result is too large',
    doc: 'The worker answered with more bytes than may be kept or sent; the command has run.',
  },
  CHANNEL_UNAVAILABLE: {
    httpStatus: 503,
    grpcCode: 'UNAVAILABLE',
    defaultDelivery: 'unknown',
    title: 'The message channel is not available',
    doc: 'Kafka did not take the command; `delivery` says whether a worker may see it all the same.',
  },
  STORE_UNAVAILABLE: {
    httpStatus: 503,
    grpcCode: 'UNAVAILABLE',
    defaultDelivery: 'unknown',
    title: 'The operation store is not available',
    doc: 'The database did not take or give the operation in time.',
  },
  OVERLOADED: {
    httpStatus: 503,
    grpcCode: 'UNAVAILABLE',
    defaultDelivery: 'not_sent',
    title: 'The gateway has as much as it may hold',
    doc: 'A bounded queue or a limit on open calls is full; retry after the time given.',
  },
  NOT_READY: {
    httpStatus: 503,
    grpcCode: 'UNAVAILABLE',
    defaultDelivery: 'not_sent',
    title: 'This instance takes no calls now',
    doc: 'The instance is starting, draining, or has no reply partition yet; another one will serve.',
  },
  WAIT_EXPIRED: {
    httpStatus: 504,
    grpcCode: 'DEADLINE_EXCEEDED',
    defaultDelivery: 'unknown',
    title: 'No answer in time',
    doc: 'The wait ended before a reply; where an operation was recorded, the answer names it and it goes on.',
  },
  OPERATION_EXPIRED: {
    httpStatus: 504,
    grpcCode: 'DEADLINE_EXCEEDED',
    defaultDelivery: 'unknown',
    title: 'The operation passed its deadline',
    doc: 'No worker reported a result before the deadline of the command.',
  },
  OPERATION_CANCELLED: {
    httpStatus: 409,
    grpcCode: 'CANCELLED',
    defaultDelivery: 'unknown',
    title: 'The operation was cancelled',
    doc: 'The operation was cancelled before a worker reported a result.',
  },
  CALL_LOOP: {
    httpStatus: 508,
    grpcCode: 'FAILED_PRECONDITION',
    defaultDelivery: 'not_sent',
    title: 'The call has crossed too many gateways',
    doc: '`sluice-hops` is past its limit: a worker calls back into the command that it serves.',
  },
} as const satisfies Record<string, FailureKind>;

export type FailureCode = keyof typeof kinds;

/** The closed list, by code. */
export const FAILURES: Readonly<Record<FailureCode, FailureKind>> = Object.freeze(kinds);

/** The domain of google.rpc.ErrorInfo, and the stem of the type URI of problems. */
export const ERROR_DOMAIN = 'sluice';

/** Type URI of a problem (RFC 9457 section 3.1.1). */
export function typeUriOf(code: FailureCode): string {
  return `urn:${ERROR_DOMAIN}:error:${code}`;
}

/** One thing wrong with a request. Exactly one of `pointer`, `parameter`, `header` says where. */
export interface Violation {
  readonly detail: string;
  /** JSON pointer into the body, as a URI fragment (RFC 6901 section 6): `#/items/0/sku`. */
  readonly pointer?: string;
  /** Name of a path or query parameter. */
  readonly parameter?: string;
  readonly header?: string;
}

/** What a worker said of its failure; the reply's code, message and details as they came. */
export interface WorkerError {
  readonly grpcCode: GrpcCodeName;
  readonly message: string;
  /** Any JSON value that the worker added; null where there is none. */
  readonly details: unknown;
}

export interface FailureOptions {
  /** Where it is not the `defaultDelivery` of the code. */
  readonly delivery?: Delivery;
  readonly violations?: readonly Violation[];
  readonly retryAfterMs?: number;
  /** The operation that goes on in spite of this failure. */
  readonly operationId?: string;
  readonly workerError?: WorkerError;
  /** HTTP methods of the path, for `Allow`. */
  readonly allow?: readonly string[];
  readonly cause?: unknown;
}

/** The only error that leaves the core. The edges render it; whatever else they catch becomes `INTERNAL`. */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly code: FailureCode;
  readonly delivery: Delivery;
  readonly violations: readonly Violation[];
  readonly retryAfterMs: number | null;
  readonly operationId: string | null;
  readonly workerError: WorkerError | null;
  readonly allow: readonly string[];

  constructor(code: FailureCode, detail: string, options: FailureOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.delivery = options.delivery ?? FAILURES[code].defaultDelivery;
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.operationId = options.operationId ?? null;
    this.workerError = options.workerError ?? null;
    this.allow = options.allow ?? [];
  }

  get grpcCode(): GrpcCodeName {
    return this.workerError?.grpcCode ?? FAILURES[this.code].grpcCode;
  }

  get httpStatus(): number {
    return this.workerError ? HTTP_STATUS_OF_GRPC_CODE[this.workerError.grpcCode] : FAILURES[this.code].httpStatus;
  }
}
