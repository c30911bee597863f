import { BatchFullError } from '../runtime/batch.ts';
import { type Delivery, FAILURES, Failure } from '../runtime/failure.ts';
import { PublishError, type PublishProblem } from './channel-ports.ts';
import type { Operation, OperationError } from './operation.ts';
import type { Reply, UnreadableReply } from './reply.ts';
import { StoreError } from './store-ports.ts';

/** What a caller is asked to wait before it tries again where we cannot tell better. */
export const RETRY_AFTER_MS = 1000;

/** The failure that a worker's error reply is to its caller. */
export function failureOfReply(reply: Reply): Failure {
  const workerError = reply.error ?? {
    grpcCode: 'UNKNOWN' as const,
    message: 'the worker gave no message',
    details: null,
  };
  return new Failure('COMMAND_FAILED', workerError.message, { delivery: 'failed', workerError });
}

export function failureOfUnreadable(reply: UnreadableReply): Failure {
  return new Failure(reply.code, reply.reason, { delivery: 'unknown' });
}

/** The failure that an operation which did not succeed is to its caller. */
export function failureOfOperation(operation: Operation): Failure {
  const error = operation.error;
  if (error === null)
    return new Failure('INTERNAL', `operation ${operation.id} is ${operation.state} without an error`);
  const common = { delivery: error.delivery, operationId: operation.id };
  if (error.code !== 'COMMAND_FAILED') {
    const retryAfterMs = retryAfterOf(error);
    return new Failure(error.code, error.message, { ...common, ...(retryAfterMs !== null && { retryAfterMs }) });
  }
  const workerError = { grpcCode: error.grpcCode, message: error.message, details: error.details };
  return new Failure('COMMAND_FAILED', error.message, { ...common, workerError });
}

/**
 * In ms, null for no invitation: as of the same failure without an operation. What may have been sent invites nothing: a
 * repeat with its key is answered alike, one without a key may run twice. Where it is certain that it was not, the key is
 * free again.
 */
export function retryAfterOf({ code, delivery }: OperationError): number | null {
  const { httpStatus } = FAILURES[code];
  return delivery === 'not_sent' && (httpStatus === 429 || httpStatus === 503) ? RETRY_AFTER_MS : null;
}

/** What a caller is told of it. Names of brokers and topics are for the log and for readiness. */
export const PUBLISH_DETAIL: Readonly<Record<PublishProblem, string>> = Object.freeze({
  unreachable: 'the message channel cannot be reached',
  unknown_topic: 'the topic of this command does not exist',
  not_authorized: 'the gateway may not write to the topic of this command',
  too_large: 'the record made of this request is larger than its topic takes',
  overloaded: 'too many commands wait for the message channel',
  timed_out: 'the message channel did not answer in time',
  other: 'the message channel did not take the command',
});

/** A command that the channel did not acknowledge. */
export function failureOfPublish(error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (!(error instanceof PublishError)) throw error;
  const delivery = error.certainlyNotSent ? 'not_sent' : 'unknown';
  const detail = PUBLISH_DETAIL[error.problem];
  if (error.problem === 'too_large') return new Failure('REQUEST_TOO_LARGE', detail, { delivery, cause: error });
  const code = error.problem === 'overloaded' ? 'OVERLOADED' : 'CHANNEL_UNAVAILABLE';
  return new Failure(code, detail, { delivery, retryAfterMs: RETRY_AFTER_MS, cause: error });
}

/** The key belongs to another payload: to this operation, where it is known. */
export function reusedFailure(operationId: string | null): Failure {
  const whose = operationId === null ? 'a call that is under way' : `operation ${operationId}`;
  const detail = `the Idempotency-Key belongs to ${whose}, which has another payload`;
  return new Failure('IDEMPOTENCY_KEY_REUSED', detail, { violations: [{ detail, header: 'idempotency-key' }] });
}

/** The store did not answer a question. `delivery` is of the request that asked. */
export function failureOfRead(error: unknown, delivery: Delivery = 'unknown'): Failure {
  if (error instanceof Failure) return error;
  if (!(error instanceof StoreError)) throw error;
  const detail =
    delivery === 'unknown'
      ? 'the operation store does not answer; the operation itself goes on'
      : 'the operation store does not answer';
  return new Failure('STORE_UNAVAILABLE', detail, { delivery, retryAfterMs: RETRY_AFTER_MS, cause: error });
}

/** An operation that could not be recorded before its command was handed to anybody. */
export function failureOfAccept(error: unknown): Failure {
  if (error instanceof BatchFullError) {
    return new Failure('OVERLOADED', 'too many operations wait to be recorded', {
      retryAfterMs: RETRY_AFTER_MS,
      cause: error,
    });
  }
  if (!(error instanceof StoreError)) throw error;
  const delivery = error.certainlyNotWritten ? 'not_sent' : 'unknown';
  return new Failure('STORE_UNAVAILABLE', 'the operation could not be recorded', {
    delivery,
    retryAfterMs: RETRY_AFTER_MS,
    cause: error,
  });
}
