/** One event of an operation's history as JSON, the same in the list and in the stream. */

import { failureOfOperation } from '../../operations/failures.ts';
import type { Operation } from '../../operations/operation.ts';
import type { RecordedEvent } from '../../operations/store-ports.ts';
import { toTimestamp } from '../../runtime/timestamp.ts';
import { describeFailure } from './problem.ts';

/** Members that say nothing are left out. */
export type EventDocument = Readonly<Record<string, unknown>>;

/** @param link absolute, of the status resource. */
export function describeEvent(
  { number, event, late }: RecordedEvent,
  operation: Operation,
  link: string,
): EventDocument {
  const { type, atMs, progress, error, afterAttempt, deadlineMs, published } = event;
  return {
    number,
    type,
    time: toTimestamp(atMs),
    late,
    ...(type === 'redriven' && afterAttempt !== null ? { attempt: afterAttempt + 1 } : {}),
    ...(type === 'redriven' && deadlineMs !== null ? { deadline: toTimestamp(deadlineMs) } : {}),
    // An offset may be beyond what a JSON number holds.
    ...(published === null ? {} : { published: { partition: published.partition, offset: String(published.offset) } }),
    ...(progress === null ? {} : { progress }),
    ...(error === null ? {} : { error: describeFailure(failureOfOperation({ ...operation, error }), () => link) }),
  };
}
