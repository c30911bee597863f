import type { Delivery, FailureCode, GrpcCodeName } from '../runtime/failure.ts';

/** States of an operation; `SPEC.md` is the specification, `transitions.ts` the total table. */
export type OperationState = 'accepted' | 'dispatched' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'expired';

export const OPERATION_STATES: readonly OperationState[] = Object.freeze([
  'accepted',
  'dispatched',
  'running',
  'succeeded',
  'failed',
  'cancelled',
  'expired',
] as const);

export function isTerminal(state: OperationState): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled' || state === 'expired';
}

/** Who makes a call. The anonymous principal has the empty id. */
export interface Principal {
  readonly id: string;
}

export const ANONYMOUS: Principal = Object.freeze({ id: '' });

export type HeaderText = readonly (readonly [name: string, value: string])[];

export interface Progress {
  /** 0 to 100, or null where the worker gave none. */
  readonly percent: number | null;
  readonly message: string | null;
}

/** What a succeeded operation answers with: the worker's bytes as they came. */
export interface OperationResult {
  /** Null is an empty result. */
  readonly value: Uint8Array | null;
  readonly contentType: string | null;
  /** A 2xx that the worker chose for REST callers, else null: the policy's. */
  readonly httpStatus: number | null;
  readonly headers: HeaderText;
}

const EMPTY_RESULT: OperationResult = Object.freeze({ value: null, contentType: null, httpStatus: null, headers: [] });

/** What a failed, cancelled or expired operation answers with. */
export interface OperationError {
  readonly code: FailureCode;
  readonly grpcCode: GrpcCodeName;
  readonly message: string;
  /** Any JSON value that the worker added, else null. */
  readonly details: unknown;
  readonly delivery: Delivery;
}

/** One accepted invocation of a command: the resource behind the status URL. A snapshot; never changed in place. */
export interface Operation {
  readonly id: string;
  /** `orders.v1.Orders/CreateOrder` */
  readonly command: string;
  /** Id of the principal that made it; empty for anonymous callers. */
  readonly principal: string;
  readonly state: OperationState;
  /** Number of its last event; 1 after acceptance. */
  readonly version: number;
  readonly attempt: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** When the worker's time is over (`ce_expirytime`). */
  readonly deadlineMs: number;
  /** When the row may be purged; null while not done. */
  readonly retainedUntilMs: number | null;
  readonly progress: Progress | null;
  readonly result: OperationResult | null;
  readonly error: OperationError | null;
}

/** Null where the operation did not succeed. A one-way command succeeds at the broker's ack, with an empty result. */
export function resultOf(operation: Operation): OperationResult | null {
  return operation.result ?? (operation.state === 'succeeded' ? EMPTY_RESULT : null);
}
