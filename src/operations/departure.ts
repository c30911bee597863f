import { Failure } from '../runtime/failure.ts';
import type { CommandRecord } from './channel-ports.ts';
import type { Invocation } from './invocation.ts';
import type { Dispatch } from './outbox/dispatch.ts';
import type { LeaseProof, NewOperation } from './store-ports.ts';
import type { WaitPlan } from './wait-plan.ts';

/** A command that is about to leave: everything about it is decided. */
export interface Departure {
  readonly id: string;
  readonly invocation: Invocation;
  readonly plan: WaitPlan;
  readonly home: LeaseProof;
  readonly record: CommandRecord;
  readonly createdAtMs: number;
  readonly deadlineMs: number;
  /** End of the caller's wait, monotonic ms. */
  readonly waitUntilMs: number;
}

export function newOperation(departure: Departure, bootId: string): NewOperation {
  const { invocation } = departure;
  const { policy } = invocation.command;
  return {
    id: departure.id,
    command: invocation.command.name,
    principal: invocation.principal.id,
    state: 'accepted',
    createdAtMs: departure.createdAtMs,
    updatedAtMs: departure.createdAtMs,
    deadlineMs: departure.deadlineMs,
    progress: null,
    record: departure.record,
    published: null,
    claimedBy: bootId,
    maybeSent: false,
    replyPartition: policy.style === 'NOTIFY' ? null : departure.home.partition,
    idempotency: invocation.idempotency,
    terms: {
      maxAttempts: policy.maxAttempts,
      redeliverAfterMs: policy.redeliverAfterMs,
      workerGroup: policy.workerGroup,
      ordered: policy.ordered,
      endsAtAck: policy.style === 'NOTIFY',
    },
  };
}

export function dispatchOf(departure: Departure): Dispatch {
  return {
    operationId: departure.id,
    record: departure.record,
    deadlineMs: departure.deadlineMs,
    endsAtAck: departure.invocation.command.policy.style === 'NOTIFY',
    attempt: 1,
    maybeSent: false,
    ordered: departure.invocation.command.policy.ordered,
  };
}

export function expiredFailure(plan: WaitPlan, operationId: string | null): Failure {
  const detail = `no reply came within ${Math.round(plan.waitMs)} ms`;
  return new Failure('WAIT_EXPIRED', detail, { delivery: 'unknown', ...(operationId === null ? {} : { operationId }) });
}
