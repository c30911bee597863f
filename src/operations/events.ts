import type { OperationError } from './operation.ts';
import type { Reply, UnreadableReply } from './reply.ts';
import type { OperationEvent } from './store-ports.ts';
import type { OperationEventType } from './transitions.ts';

/** What an event has nothing to say of. */
const SILENT = Object.freeze({
  position: null,
  progress: null,
  result: null,
  error: null,
  published: null,
  by: null,
  afterAttempt: null,
  deadlineMs: null,
});

/** An event of our own, not said by a reply. */
export function eventOf(
  type: OperationEventType,
  atMs: number,
  parts: Partial<Pick<OperationEvent, 'error' | 'published' | 'by' | 'afterAttempt' | 'deadlineMs'>> = {},
): OperationEvent {
  return { ...SILENT, type, atMs, ...parts };
}

/** What a reply means for its operation; null for an item, which changes no state. */
export function eventOfReply(reply: Reply, atMs: number): OperationEvent | null {
  const base = { ...SILENT, atMs, position: reply.position };
  switch (reply.kind) {
    case 'accepted':
      return { ...base, type: 'acknowledged' };
    case 'progress':
      return { ...base, type: 'progressed', progress: reply.progress };
    case 'error':
      return { ...base, type: 'failed', error: errorOfReply(reply) };
    case 'result':
    case 'end':
      return { ...base, type: 'succeeded', result: resultOf(reply) };
    case 'item':
      return null;
  }
}

/** A reply that cannot be read ends its operation: the command has run in some way, and no other answer will come. */
export function eventOfUnreadable(reply: UnreadableReply, atMs: number): OperationEvent {
  const error: OperationError = {
    code: reply.code,
    grpcCode: 'INTERNAL',
    message: reply.reason,
    details: null,
    delivery: 'unknown',
  };
  return { ...SILENT, type: 'failed', atMs, position: reply.position, error };
}

function resultOf(reply: Reply): NonNullable<OperationEvent['result']> {
  return { value: reply.value, contentType: reply.contentType, httpStatus: reply.httpStatus, headers: reply.headers };
}

function errorOfReply(reply: Reply): OperationError {
  return {
    code: 'COMMAND_FAILED',
    grpcCode: reply.error?.grpcCode ?? 'UNKNOWN',
    message: reply.error?.message ?? 'the worker gave no message',
    details: reply.error?.details ?? null,
    delivery: 'failed',
  };
}
