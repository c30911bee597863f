import type { OperationState } from './operation.ts';

/** What can happen to an operation. Each is appended to its history under this name. */
export type OperationEventType =
  | 'accepted'
  | 'dispatched'
  | 'acknowledged'
  | 'progressed'
  | 'redriven'
  | 'succeeded'
  | 'failed'
  | 'cancelled'
  | 'expired';

export const OPERATION_EVENT_TYPES: readonly OperationEventType[] = Object.freeze([
  'accepted',
  'dispatched',
  'acknowledged',
  'progressed',
  'redriven',
  'succeeded',
  'failed',
  'cancelled',
  'expired',
] as const);

/**
 * What an event does in a state: the next state, or `absorbed`: it is kept in the history as late (up to a cap) and
 * changes nothing. There is no third possibility, so no order of messages can fail.
 */
export type Transition = OperationState | 'absorbed';

/** The total table. `SPEC.md` gives each row its reason; a test holds the two together. */
export const TRANSITIONS: Readonly<Record<OperationState, Readonly<Record<OperationEventType, Transition>>>> =
  Object.freeze({
    accepted: {
      accepted: 'absorbed',
      dispatched: 'dispatched',
      acknowledged: 'running',
      progressed: 'running',
      redriven: 'accepted',
      succeeded: 'succeeded',
      failed: 'failed',
      cancelled: 'cancelled',
      expired: 'expired',
    },
    dispatched: {
      accepted: 'absorbed',
      dispatched: 'absorbed',
      acknowledged: 'running',
      progressed: 'running',
      redriven: 'accepted',
      succeeded: 'succeeded',
      failed: 'failed',
      cancelled: 'cancelled',
      expired: 'expired',
    },
    running: {
      accepted: 'absorbed',
      dispatched: 'absorbed',
      acknowledged: 'running',
      progressed: 'running',
      redriven: 'accepted',
      succeeded: 'succeeded',
      failed: 'failed',
      cancelled: 'cancelled',
      expired: 'expired',
    },
    succeeded: absorbAll(),
    failed: absorbAll(),
    cancelled: absorbAll(),
    expired: absorbAll(),
  });

/** Terminal states absorb: the first end stands, whatever comes after it. */
function absorbAll(): Readonly<Record<OperationEventType, 'absorbed'>> {
  return {
    accepted: 'absorbed',
    dispatched: 'absorbed',
    acknowledged: 'absorbed',
    progressed: 'absorbed',
    redriven: 'absorbed',
    succeeded: 'absorbed',
    failed: 'absorbed',
    cancelled: 'absorbed',
    expired: 'absorbed',
  };
}
