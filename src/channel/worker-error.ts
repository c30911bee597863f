import { GRPC_CODE, type GrpcCodeName, type WorkerError } from '../runtime/failure.ts';

/** What goes into an error or a problem from outside is cut here: it ends in headers, logs and text columns. */
const MAX_MESSAGE_CHARACTERS = 8192;
const MAX_DETAILS_DEPTH = 64;

/** For problems (RFC 9457) and NestJS's HTTP-like exceptions. Backwards of google/rpc/code.proto, most likely code first. */
const CODE_OF_HTTP_STATUS: Readonly<Record<number, GrpcCodeName>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'ABORTED',
  412: 'FAILED_PRECONDITION',
  422: 'INVALID_ARGUMENT',
  429: 'RESOURCE_EXHAUSTED',
  499: 'CANCELLED',
  500: 'INTERNAL',
  501: 'UNIMPLEMENTED',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
};

const CODE_OF_NUMBER = new Map<number, GrpcCodeName>(
  Object.entries(GRPC_CODE).map(([name, number]) => [number, name as GrpcCodeName]),
);

/**
 * Reads what a worker said of its failure. Three forms: `{"code","message","details"}` (ours; google.rpc.Status with its
 * number for a code fits too), a problem (RFC 9457), and what NestJS sends of an exception: `{"status":"error","message"}`,
 * or whatever object an `RpcException` was made of. Everything else is taken as the message. Never throws.
 *
 * @param codeHeader `sluice-code`; wins over a code in the text.
 * @param text UTF-8 of the value, or of NestJS's error header; null where there is none.
 */
export function readWorkerError(codeHeader: string | null, text: string | null): WorkerError {
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null) {
    const message = typeof value === 'string' ? value : (text ?? '');
    return { grpcCode: readCode(codeHeader) ?? 'UNKNOWN', message: cleanText(message), details: null };
  }
  const fields = value as Record<string, unknown>;
  return {
    grpcCode: readCode(codeHeader) ?? readCode(fields['code']) ?? codeOfStatus(fields) ?? 'UNKNOWN',
    message: cleanText(readMessage(fields)),
    details: readDetails(fields),
  };
}

/** Without NUL, which PostgreSQL's text cannot hold, and not without end. */
export function cleanText(text: string): string {
  const short = text.length > MAX_MESSAGE_CHARACTERS ? text.slice(0, MAX_MESSAGE_CHARACTERS) : text;
  return short.includes('\u0000') ? short.replaceAll('\u0000', '') : short;
}

export function parseJson(text: string | null): unknown {
  if (text === null) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Null where nothing is said; a code that is not one of gRPC's, or `OK` on an error, is `UNKNOWN`. */
function readCode(code: unknown): GrpcCodeName | null {
  if (typeof code === 'number') return CODE_OF_NUMBER.get(code || 2) ?? 'UNKNOWN';
  if (typeof code !== 'string') return null;
  return code !== 'OK' && Object.hasOwn(GRPC_CODE, code) ? (code as GrpcCodeName) : 'UNKNOWN';
}

function codeOfStatus(fields: Record<string, unknown>): GrpcCodeName | null {
  const status = typeof fields['status'] === 'number' ? fields['status'] : fields['statusCode'];
  return typeof status === 'number' ? (CODE_OF_HTTP_STATUS[status] ?? null) : null;
}

function readMessage(fields: Record<string, unknown>): string {
  for (const name of ['message', 'detail', 'title', 'error']) {
    const text = fields[name];
    if (typeof text === 'string') return text;
    // NestJS's ValidationPipe: a list of sentences.
    if (name === 'message' && Array.isArray(text)) return text.filter((part) => typeof part === 'string').join('; ');
  }
  return '';
}

/** `details` as it came; of a problem the whole, for its `type`, `instance` and extension members. */
function readDetails(fields: Record<string, unknown>): unknown {
  const isProblem = !('message' in fields) && ('title' in fields || 'detail' in fields);
  const details = isProblem ? fields : fields['details'];
  try {
    return cleanJson(details ?? null, 0);
  } catch {
    return null;
  }
}

/** A copy without NUL, safe to serialise again. Throws where it is nested too deep. */
function cleanJson(value: unknown, depth: number): unknown {
  if (depth > MAX_DETAILS_DEPTH) throw new RangeError('nested too deep');
  if (typeof value === 'string') return value.replaceAll('\u0000', '');
  if (Array.isArray(value)) return value.map((item) => cleanJson(item, depth + 1));
  if (typeof value !== 'object' || value === null) return value;
  // fromEntries defines properties, so a `__proto__` from outside stays a plain name.
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name.replaceAll('\u0000', ''), cleanJson(item, depth + 1)]),
  );
}
