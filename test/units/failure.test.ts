import { describe, expect, it } from 'vitest';
import { FAILURES, Failure, type FailureCode } from '../../src/runtime/failure.ts';

/** Refusals that come before any dispatch: only of these may it go without saying that no worker sees the command. */
const BEFORE_DISPATCH: readonly FailureCode[] = [
  'ADMIN_ONLY',
  'CALL_LOOP',
  'FEATURE_UNSUPPORTED',
  'HEADERS_TOO_LARGE',
  'HEADER_INVALID',
  'IDEMPOTENCY_KEY_REQUIRED',
  'IDEMPOTENCY_KEY_REUSED',
  'LIST_NOT_PERMITTED',
  'MEDIA_TYPE_UNSUPPORTED',
  'METHOD_NOT_ALLOWED',
  'NOT_ACCEPTABLE',
  'NOT_READY',
  'OPERATION_NOT_FOUND',
  'OVERLOADED',
  'PAGE_TOKEN_INVALID',
  'REQUEST_INVALID',
  'REQUEST_MALFORMED',
  'REQUEST_TIMEOUT',
  'REQUEST_TOO_LARGE',
  'ROUTE_NOT_FOUND',
  'STREAMING_UNSUPPORTED',
  'URI_TOO_LONG',
];

describe('what a failure says of the command where nothing else is said', () => {
  it('is not_sent only for refusals before the dispatch', () => {
    const codes = Object.keys(FAILURES) as FailureCode[];
    const notSent = codes.filter((code) => new Failure(code, 'x').delivery === 'not_sent');
    expect(notSent.toSorted()).toEqual(BEFORE_DISPATCH.toSorted());
  });

  it('is failed where a worker has answered', () => {
    expect(new Failure('COMMAND_FAILED', 'x').delivery).toBe('failed');
  });

  it('gives way to what is known', () => {
    expect(new Failure('CHANNEL_UNAVAILABLE', 'x').delivery).toBe('unknown');
    expect(new Failure('CHANNEL_UNAVAILABLE', 'x', { delivery: 'not_sent' }).delivery).toBe('not_sent');
  });
});
