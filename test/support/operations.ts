import type { Operation } from '../../src/operations/operation.ts';
import type { Reply, ReplyKind } from '../../src/operations/reply.ts';
import { IdSource } from '../../src/runtime/ids.ts';

const ids = new IdSource(() => Date.now());

/** A new id of the form that Sluice gives. */
export function newOperationId(): string {
  return ids.next();
}

export function anOperation(parts: Partial<Operation> = {}): Operation {
  return {
    id: newOperationId(),
    command: 'test.v1.Test/Do',
    principal: '',
    state: 'accepted',
    version: 1,
    attempt: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    deadlineMs: 60_000,
    retainedUntilMs: null,
    progress: null,
    result: null,
    error: null,
    ...parts,
  };
}

export function aReply(operationId: string, kind: ReplyKind, parts: Partial<Reply> = {}): Reply {
  return {
    kind,
    correlation: { operationId, homePartition: 0, unrecordedBy: 'boot1' },
    position: { topic: 'replies', partition: 0, offset: 0n },
    value: null,
    contentType: null,
    httpStatus: null,
    headers: [],
    trailers: [],
    error: kind === 'error' ? { grpcCode: 'ABORTED', message: 'no', details: null } : null,
    progress: kind === 'progress' ? { percent: 10, message: null } : null,
    sequence: null,
    timestampMs: 0,
    raw: { key: null, value: null, headers: [] },
    isRehomed: false,
    ...parts,
  };
}
