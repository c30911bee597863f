/**
 * Failures as google.rpc.Status (google/rpc/status.proto, error_details.proto): ErrorInfo always, RetryInfo and BadRequest
 * where they say something, and what a worker added as a google.protobuf.Value. All of it travels in a header, so all of
 * it is bounded: the smallest limit among the usual clients is Java's, 8 KiB for all headers together.
 */

import type { JsonValue } from '../../contract/command.ts';
import {
  type AnyValue,
  badRequestType,
  errorInfoType,
  pack,
  packJson,
  retryInfoType,
  type StatusMessage,
} from '../../contract/own-messages.ts';
import {
  type Delivery,
  ERROR_DOMAIN,
  type Failure,
  type FailureCode,
  GRPC_CODE,
  type GrpcCodeName,
  type Violation,
} from '../../runtime/failure.ts';
import { saysDelivery } from '../says-delivery.ts';
import { operationName } from './metadata.ts';

/** Percent-encoded, as it stands in `grpc-message`. */
const MAX_MESSAGE_CHARACTERS = 1024;
/** Of all details before they are base64. */
const MAX_DETAILS_BYTES = 3072;
const MAX_VIOLATIONS = 20;
const MAX_VIOLATION_CHARACTERS = 256;

const CODE_NAMES = new Map<number, string>(Object.entries(GRPC_CODE).map(([name, code]) => [code, name]));

/** `NOT_FOUND` for 5. */
export function codeNameOf(code: number): string | undefined {
  return CODE_NAMES.get(code);
}

export interface Trouble {
  readonly code: FailureCode;
  readonly grpcCode: GrpcCodeName;
  readonly message: string;
  /** Null where the error says nothing of a command; see `saysDelivery`. */
  readonly delivery: Delivery | null;
  readonly requestId: string | null;
  readonly operationId: string | null;
  readonly retryAfterMs: number | null;
  readonly violations: readonly Violation[];
  /** What a worker added; null for nothing. */
  readonly details: unknown;
}

export function troubleOf(failure: Failure, requestId: string, concernsCommand: boolean): Trouble {
  return {
    code: failure.code,
    grpcCode: failure.grpcCode,
    message: failure.workerError?.message ?? failure.message,
    delivery: saysDelivery(failure, concernsCommand) ? failure.delivery : null,
    requestId,
    operationId: failure.operationId,
    retryAfterMs: failure.retryAfterMs,
    violations: failure.violations,
    details: failure.workerError?.details ?? null,
  };
}

export function statusOf(trouble: Trouble): StatusMessage {
  // An error that calls itself OK would reach the caller as a success without a message.
  const grpcCode = trouble.grpcCode === 'OK' ? 'UNKNOWN' : trouble.grpcCode;
  return { code: GRPC_CODE[grpcCode], message: boundMessage(trouble.message), details: detailsOf(trouble) };
}

function detailsOf(trouble: Trouble): AnyValue[] {
  const optional = [...retryInfoOf(trouble), ...badRequestOf(trouble), ...workerDetailsOf(trouble)];
  const kept: AnyValue[] = [];
  let sizeBytes = 0;
  for (const detail of optional) {
    sizeBytes += detail.value.length + detail.typeUrl.length;
    if (sizeBytes <= MAX_DETAILS_BYTES) kept.push(detail);
  }
  return [errorInfoOf(trouble, optional.length > kept.length), ...kept];
}

function errorInfoOf(trouble: Trouble, someOmitted: boolean): AnyValue {
  const metadata: Record<string, string> = {};
  if (trouble.delivery !== null) metadata['delivery'] = trouble.delivery;
  if (trouble.requestId !== null) metadata['requestId'] = trouble.requestId;
  if (trouble.operationId !== null) metadata['operation'] = operationName(trouble.operationId);
  if (someOmitted) metadata['detailsOmitted'] = 'too large for a header';
  return pack(errorInfoType, { domain: ERROR_DOMAIN, reason: trouble.code, metadata });
}

function retryInfoOf({ retryAfterMs }: Trouble): AnyValue[] {
  if (retryAfterMs === null) return [];
  const seconds = Math.floor(retryAfterMs / 1000);
  const nanos = Math.round((retryAfterMs - seconds * 1000) * 1e6);
  return [pack(retryInfoType, { retryDelay: { seconds: BigInt(seconds), nanos } })];
}

function badRequestOf({ violations }: Trouble): AnyValue[] {
  if (violations.length === 0) return [];
  const fieldViolations = violations.slice(0, MAX_VIOLATIONS).map((violation) => ({
    field: shorten(fieldOf(violation)),
    description: shorten(violation.detail),
  }));
  const more = violations.length - fieldViolations.length;
  if (more > 0) fieldViolations.push({ field: '', description: `and ${more} more` });
  return [packFitting(fieldViolations)];
}

/** As many violations as fit: half as many are better than none. */
function packFitting(fieldViolations: readonly { readonly field: string; readonly description: string }[]): AnyValue {
  const packed = pack(badRequestType, { fieldViolations });
  if (packed.value.length < MAX_DETAILS_BYTES / 2 || fieldViolations.length === 1) return packed;
  return packFitting(fieldViolations.slice(0, fieldViolations.length >> 1));
}

/** `#/items/0/sku` → `items[0].sku`; a metadata name as it is. */
export function fieldOf(violation: Violation): string {
  const { pointer } = violation;
  if (pointer === undefined) return violation.parameter ?? violation.header ?? '';
  let path = '';
  for (const token of pointer.split('/').slice(1)) {
    const name = decodeToken(token);
    if (/^\d+$/.test(name)) path += `[${name}]`;
    else path += path === '' ? name : `.${name}`;
  }
  return path;
}

/** RFC 6901 section 6: percent-encoded, then `~1` and `~0`. */
function decodeToken(token: string): string {
  let text = token;
  try {
    text = decodeURIComponent(token);
  } catch {
    // Not encoded after all: better as it is than not at all.
  }
  return text.replaceAll('~1', '/').replaceAll('~0', '~');
}

function workerDetailsOf({ details }: Trouble): AnyValue[] {
  if (details === null || details === undefined) return [];
  try {
    return [packJson(details as JsonValue)];
  } catch {
    // A worker's extra that is no JSON value; its code and message stand without it.
    return [];
  }
}

function shorten(text: string): string {
  const wellFormed = text.toWellFormed();
  if (wellFormed.length <= MAX_VIOLATION_CHARACTERS) return wellFormed;
  return `${wellFormed.slice(0, MAX_VIOLATION_CHARACTERS - 1).toWellFormed()}…`;
}

/** grpc-js encodes the text with `encodeURI`, which throws on a lone surrogate: it must not see one. */
function boundMessage(text: string): string {
  const cut = text.slice(0, MAX_MESSAGE_CHARACTERS).toWellFormed();
  if (cut.length === text.length && encodeURI(cut).length <= MAX_MESSAGE_CHARACTERS) return cut;
  let kept = '';
  let length = '…'.length * 9;
  for (const character of cut) {
    length += encodeURI(character).length;
    if (length > MAX_MESSAGE_CHARACTERS) break;
    kept += character;
  }
  return `${kept}…`;
}
