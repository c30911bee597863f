import type { Deadline } from '@grpc/grpc-js';

/** A client ends its call at its own deadline: an answer that leaves later than this before it is never seen. */
const MIN_MARGIN_MS = 20;
const MARGIN_SHARE = 0.05;

/**
 * Until when an answer is worth waiting for, in milliseconds from now; null without a deadline. grpc-js makes a deadline
 * of `Date.now()` and the `grpc-timeout` header, so it is read against the same clock, at once.
 */
export function patienceMs(deadline: Deadline): number | null {
  if (deadline === Number.POSITIVE_INFINITY) return null;
  const remainingMs = Number(deadline) - Date.now();
  return Math.max(0, remainingMs - Math.max(MIN_MARGIN_MS, remainingMs * MARGIN_SHARE));
}
