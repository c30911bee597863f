/** Failures as RFC 9457 problem details. */

import { FAILURES, type Failure, typeUriOf, type Violation, type WorkerError } from '../../runtime/failure.ts';
import { saysDelivery } from '../says-delivery.ts';
import type { RestAnswer } from './exchange.ts';

/** Members of a problem; absent ones are left out of the JSON. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance?: string;
  readonly code: string;
  readonly delivery?: string;
  readonly errors?: readonly Violation[];
  /** What a worker said of its failure, as it came. */
  readonly workerError?: ProblemOfWorker;
  readonly operation?: { readonly id: string; readonly link: string };
  readonly requestId?: string;
  /** Seconds. */
  readonly retryAfter?: number;
}

interface ProblemOfWorker {
  readonly code: string;
  readonly message: string;
  readonly details?: unknown;
}

export interface ProblemContext {
  readonly requestId: string;
  /** Absolute link of the operation that goes on, by id. */
  readonly linkOf: (operationId: string) => string;
  /** False on our own routes, and where no route was found. See `saysDelivery`. */
  readonly concernsCommand: boolean;
}

export function describeFailure(failure: Failure, linkOf: (operationId: string) => string): Problem {
  const { workerError, operationId } = failure;
  return {
    type: typeUriOf(failure.code),
    title: FAILURES[failure.code].title,
    status: failure.httpStatus,
    detail: failure.message,
    code: failure.code,
    delivery: failure.delivery,
    ...(failure.violations.length > 0 ? { errors: failure.violations } : {}),
    ...(workerError ? { workerError: describeWorkerError(workerError) } : {}),
    ...(operationId === null ? {} : { operation: { id: operationId, link: linkOf(operationId) } }),
    ...(failure.retryAfterMs === null ? {} : { retryAfter: toRetrySeconds(failure.retryAfterMs) }),
  };
}

export function answerProblem(failure: Failure, context: ProblemContext): RestAnswer {
  const described = describeFailure(failure, context.linkOf);
  const { delivery, ...withoutDelivery } = described;
  const says = saysDelivery(failure, context.concernsCommand);
  const problem: Problem = {
    ...(says ? described : withoutDelivery),
    instance: `urn:sluice:request:${encodeURIComponent(context.requestId)}`,
    requestId: context.requestId,
  };
  return {
    status: described.status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store', ...headersOf(failure) },
    body: JSON.stringify(problem),
    outcome: failure.code,
    delivery: says ? failure.delivery : null,
    operationId: failure.operationId,
  };
}

/** Whole seconds, at least 1 (RFC 9110 section 10.2.3). */
export function toRetrySeconds(delayMs: number): number {
  return Math.max(1, Math.ceil(delayMs / 1000));
}

function describeWorkerError(error: WorkerError): ProblemOfWorker {
  const { grpcCode: code, message, details } = error;
  return { code, message, ...(details === null || details === undefined ? {} : { details }) };
}

function headersOf(failure: Failure): Record<string, string> {
  const headers: Record<string, string> = {};
  if (failure.retryAfterMs !== null) headers['retry-after'] = String(toRetrySeconds(failure.retryAfterMs));
  if (failure.code === 'METHOD_NOT_ALLOWED') headers['allow'] = failure.allow.join(', ');
  if (failure.code === 'MEDIA_TYPE_UNSUPPORTED') Object.assign(headers, whatIsRead(failure));
  return headers;
}

/** What would have been read (RFC 9110 section 15.5.16). */
function whatIsRead(failure: Failure): Record<string, string> {
  const isEncoding = failure.violations[0]?.header === 'content-encoding';
  return isEncoding ? { 'accept-encoding': 'identity' } : { accept: 'application/json' };
}
