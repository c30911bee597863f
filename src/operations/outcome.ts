import { Only } from '../runtime/only.ts';
import type { Arrival } from './calls/awaited-call.ts';
import { failureOfReply, failureOfUnreadable } from './failures.ts';
import type { Outcome } from './invocation.ts';

/** What the reply that ended an unrecorded call is to its caller. Throws `Failure` where it is an error or cannot be read. */
export function outcomeOfArrival(operationId: string, arrival: Arrival): Outcome {
  if (arrival.kind === 'unreadable') throw failureOfUnreadable(arrival.reply);
  if (arrival.reply.kind === 'error') throw failureOfReply(arrival.reply);
  return { kind: 'replies', operationId, replies: new Only(arrival.reply) };
}
