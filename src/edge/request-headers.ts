/** Headers, or metadata, that mean the same on every edge. */

import { Failure } from '../runtime/failure.ts';

/** What a caller may send as `x-request-id`; anything else is replaced by one of ours. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
/** Promises that later versions will keep: to ignore one would be to break it. */
const UNKEPT = ['idempotency-key', 'callback-url'];
const HOPS = /^[0-9]{1,9}$/;

/** A header's text by lower-case name, or null. */
type ReadHeader = (name: string) => string | null;

export function chooseRequestId(sent: string | null, requestIds: { next(): string }): string {
  return sent !== null && REQUEST_ID.test(sent) ? sent : requestIds.next();
}

/** @throws Failure FEATURE_UNSUPPORTED */
export function refuseUnkeptPromises(read: ReadHeader): void {
  for (const header of UNKEPT) {
    if (read(header) === null) continue;
    throw new Failure('FEATURE_UNSUPPORTED', `this version does not serve ${header}`, {
      violations: [{ header, detail: 'is not served yet, expected no such header' }],
    });
  }
}

/** How many gateways the call has crossed, from `sluice-hops`. @throws Failure HEADER_INVALID */
export function readHops(text: string | null): number {
  if (text === null) return 0;
  if (HOPS.test(text)) return Number(text);
  throw new Failure('HEADER_INVALID', 'sluice-hops is not a number of gateways', {
    violations: [{ header: 'sluice-hops', detail: 'expected a whole number that is not negative' }],
  });
}
