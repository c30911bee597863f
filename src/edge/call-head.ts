/** What every edge does alike around a call: headers, or metadata, that mean the same; one request; errors that hide. */

import type { ContractMessage } from '../contract/command.ts';
import { Failure } from '../runtime/failure.ts';
import type { CallLog } from './call-log.ts';
import { qualifyRefusal } from './idempotency-key.ts';

/** What a caller may send as `x-request-id`; anything else is replaced by one of ours. */
const REQUEST_ID = /^[\x21-\x7e]{1,128}$/;
/** Promises that later versions will keep: to ignore one would be to break it. */
const UNKEPT = ['callback-url'];
const HOPS = /^[0-9]{1,4}$/;

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
    violations: [{ header: 'sluice-hops', detail: 'expected a whole number of 1 to 4 digits' }],
  });
}

/** The one request of a unary call: read, decoded and validated when it is pulled, and not before. */
export class OnlyRequest implements AsyncIterable<ContractMessage> {
  readonly #read: () => ContractMessage | Promise<ContractMessage>;

  constructor(read: () => ContractMessage | Promise<ContractMessage>) {
    this.#read = read;
  }

  [Symbol.asyncIterator](): AsyncIterator<ContractMessage> {
    let done = false;
    return {
      next: async () => {
        if (done) return { done: true, value: undefined };
        done = true;
        return { done: false, value: await this.#read() };
      },
    };
  }
}

/**
 * The failure that an error is to its caller. Anything but a `Failure` is a defect of ours: its message may hold anything
 * and stays in the log. `hasKey`: the call is of a command and carries an Idempotency-Key.
 */
export function hideDefect(
  error: unknown,
  log: Pick<CallLog, 'recordDefect'>,
  of: { readonly command: string; readonly requestId: string; readonly hasKey?: boolean },
): Failure {
  const failure = error instanceof Failure ? error : makeInternal(error);
  if (failure.code === 'INTERNAL') log.recordDefect(of.command, of.requestId, failure.cause ?? failure);
  return of.hasKey ? qualifyRefusal(failure) : failure;
}

function makeInternal(cause: unknown): Failure {
  return new Failure('INTERNAL', 'something went wrong in the gateway; the log has the request id', { cause });
}
