import type {
  HeaderText,
  Operation,
  OperationError,
  OperationResult,
  OperationState,
  Progress,
} from '../operations/operation.ts';
import type { Delivery, FailureCode, GrpcCodeName } from '../runtime/failure.ts';

/** A row as `sql/operation-columns.sql` selects it. */
export interface OperationRow {
  readonly id: string;
  readonly command: string;
  readonly principal: string;
  readonly state: OperationState;
  readonly version: number;
  readonly attempt: number;
  readonly created_at_ms: number;
  readonly updated_at_ms: number;
  readonly deadline_ms: number;
  readonly retained_until_ms: number | null;
  readonly progress_percent: number | null;
  readonly progress_message: string | null;
  readonly result_value: Uint8Array | null;
  readonly result_content_type: string | null;
  readonly result_http_status: number | null;
  readonly result_headers: string | null;
  readonly error_code: FailureCode | null;
  readonly error_grpc_code: GrpcCodeName | null;
  readonly error_message: string | null;
  readonly error_details: string | null;
  readonly delivery: Delivery | null;
  readonly late_events: number;
}

export function toOperation(row: OperationRow): Operation {
  return {
    id: row.id,
    command: row.command,
    principal: row.principal,
    state: row.state,
    version: row.version,
    attempt: row.attempt,
    createdAtMs: row.created_at_ms,
    updatedAtMs: row.updated_at_ms,
    deadlineMs: row.deadline_ms,
    retainedUntilMs: row.retained_until_ms,
    progress: toProgress(row),
    result: toResult(row),
    error: toError(row),
  };
}

function toProgress(row: OperationRow): Progress | null {
  if (row.progress_percent === null && row.progress_message === null) return null;
  return { percent: row.progress_percent, message: row.progress_message };
}

/** The headers mark that there is a result; its value may be null. */
function toResult(row: OperationRow): OperationResult | null {
  if (row.result_headers === null) return null;
  return {
    value: row.result_value,
    contentType: row.result_content_type,
    httpStatus: row.result_http_status,
    headers: JSON.parse(row.result_headers) as HeaderText,
  };
}

function toError(row: OperationRow): OperationError | null {
  if (row.error_code === null) return null;
  return {
    code: row.error_code,
    grpcCode: row.error_grpc_code ?? 'UNKNOWN',
    message: row.error_message ?? '',
    details: row.error_details === null ? null : JSON.parse(row.error_details),
    delivery: row.delivery ?? 'unknown',
  };
}

/** PostgreSQL's text holds no NUL, and valid JSON may: stripped, not refused. */
export function stripNul(text: string): string;
export function stripNul(text: string | null): string | null;
export function stripNul(text: string | null): string | null {
  return text?.includes('\u0000') ? text.replaceAll('\u0000', '') : text;
}

/** JSON text: NUL and lone surrogates are escapes there, which `text` takes and `jsonb` would not. Null for null. */
export function toJsonText(value: unknown): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value);
}
