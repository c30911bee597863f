/** What the management port answers with. */
import { FAILURES, Failure } from '../runtime/failure.ts';
import { describeFailure, toRetrySeconds } from './rest/problem.ts';

export interface ManagementPage {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
  /** Beside those of every answer. */
  readonly headers: Readonly<Record<string, string>>;
}

export function pageOfJson(status: number, value: object): ManagementPage {
  return { status, contentType: 'application/json', text: `${JSON.stringify(value)}\n`, headers: {} };
}

export function pageOfText(status: number, text: string, headers: Record<string, string> = {}): ManagementPage {
  return { status, contentType: 'text/plain; charset=utf-8', text, headers };
}

/**
 * RFC 9457. Without `delivery`, which tells callers whether to repeat a command: an operator's request is none. Only
 * operators read it: so it says what the store's trouble is, and of what is no `Failure`, and so a defect, the message.
 */
export function pageOfError(error: unknown): ManagementPage {
  const failure = error instanceof Failure ? error : new Failure('INTERNAL', describeError(error), { cause: error });
  const { delivery: _, ...problem } = describeFailure(failure, (id) => `/operations/${id}`);
  return {
    ...pageOfJson(problem.status, { ...problem, detail: explain(failure) }),
    contentType: 'application/problem+json',
    headers: headersOf(failure),
  };
}

/** Callers are not told names of roles and tables. */
function explain({ code, message, cause }: Failure): string {
  return code === 'STORE_UNAVAILABLE' && cause instanceof Error ? `${message}: ${cause.message}` : message;
}

function describeError(error: unknown): string {
  return error instanceof Error ? error.message : FAILURES.INTERNAL.title;
}

function headersOf({ allow, retryAfterMs }: Failure): Record<string, string> {
  return {
    ...(allow.length > 0 && { allow: allow.join(', ') }),
    ...(retryAfterMs !== null && { 'retry-after': String(toRetrySeconds(retryAfterMs)) }),
  };
}
