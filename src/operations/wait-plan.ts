import type { CommandTerms, Invocation, WaitPreference } from './invocation.ts';

/** What is decided about a call before its command leaves. */
export interface WaitPlan {
  /** Insert the row before the command leaves. */
  readonly recordFirst: boolean;
  /** How long the caller waits; 0 where it does not. */
  readonly waitMs: number;
  /** What the end of the wait is: a promise (202) or an error (504). */
  readonly onExpiry: 'ACCEPT' | 'FAIL';
  /** How long the worker has (`ce_expirytime`). */
  readonly timeoutMs: number;
}

type PlannedCall = Pick<Invocation, 'command' | 'wait' | 'idempotency'>;

/**
 * A caller's patience never kills what was promised: the worker's time is the command's `timeout`, but for a call that
 * cannot be promoted (`on_timeout: FAIL`, unrecorded), whose answer nobody wants after the wait.
 */
export function planWait(invocation: PlannedCall, nowMonotonicMs: number): WaitPlan {
  const { wait } = invocation;
  const { policy } = invocation.command;
  const isOneWay = policy.style === 'NOTIFY';
  const mayAccept = policy.onTimeout === 'ACCEPT';
  const respondAsync = isOneWay || (wait.kind === 'none' && mayAccept);
  const mustRecord = policy.record === 'ALWAYS' || policy.ordered || invocation.idempotency !== null;
  // A one-way command promises no more than the broker's ack, whatever its caller would wait for.
  const recordFirst = mustRecord || (respondAsync && !isOneWay);
  const waitMs = respondAsync ? 0 : chooseWaitMs(policy, wait, nowMonotonicMs);
  const endsWithWait = !mayAccept && !recordFirst;
  return {
    recordFirst,
    waitMs,
    onExpiry: policy.onTimeout,
    timeoutMs: endsWithWait ? Math.min(waitMs, policy.timeoutMs) : policy.timeoutMs,
  };
}

function chooseWaitMs(policy: CommandTerms['policy'], wait: WaitPreference, nowMonotonicMs: number): number {
  switch (wait.kind) {
    case 'for':
      return Math.min(wait.waitMs, policy.maxWaitMs);
    case 'until':
      return Math.max(0, Math.min((wait.atMs ?? Number.POSITIVE_INFINITY) - nowMonotonicMs, policy.timeoutMs));
    default:
      return policy.waitMs;
  }
}
