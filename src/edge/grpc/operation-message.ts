/** An operation as google.longrunning.Operation, for GetOperation and for methods that return one. */

import type { Command, ContractMessage } from '../../contract/command.ts';
import {
  type AnyValue,
  type OperationMessage,
  operationMetadataType,
  pack,
  packBytes,
  packEmpty,
  packJson,
  packUnknown,
  type SecondsAndNanos,
} from '../../contract/own-messages.ts';
import { retryAfterOf } from '../../operations/failures.ts';
import type { Operation, OperationResult, OperationState } from '../../operations/operation.ts';
import { isTerminal } from '../../operations/operation.ts';
import { Failure } from '../../runtime/failure.ts';
import { operationName } from './metadata.ts';
import { statusOf } from './status.ts';

/** Numbers of `sluice.v1.OperationMetadata.State`. */
const STATE_NUMBERS: Readonly<Record<OperationState, number>> = Object.freeze({
  accepted: 1,
  dispatched: 2,
  running: 3,
  succeeded: 4,
  failed: 5,
  cancelled: 6,
  expired: 7,
});

/** @param command null where this instance's contract has none of the operation's name. */
export function operationMessage(operation: Operation, command: Command | null): OperationMessage {
  const head = { name: operationName(operation.id), metadata: metadataOf(operation) };
  if (!isTerminal(operation.state)) return { ...head, done: false };
  if (operation.state !== 'succeeded') {
    return { ...head, done: true, result: { case: 'error', value: errorOf(operation) } };
  }
  return { ...head, done: true, result: { case: 'response', value: responseOf(operation.result, command) } };
}

/** A method that returns an operation may be answered before one was recorded: done, with the answer inside. */
export function answeredOperation(operationId: string | null, response: AnyValue): OperationMessage {
  const name = operationId === null ? '' : operationName(operationId);
  return { name, done: true, result: { case: 'response', value: response } };
}

export function packReply(command: Command, message: ContractMessage): AnyValue {
  return packBytes(command.codec.replyType.typeName, command.codec.replyToBinary(message));
}

function metadataOf(operation: Operation): AnyValue {
  const { progress } = operation;
  return pack(operationMetadataType, {
    command: operation.command,
    state: STATE_NUMBERS[operation.state],
    ...(progress === null || progress.percent === null ? {} : { progressPercent: progress.percent }),
    ...(progress === null || progress.message === null ? {} : { progressMessage: progress.message.toWellFormed() }),
    attempt: operation.attempt,
    createTime: timestampOf(operation.createdAtMs),
    updateTime: timestampOf(operation.updatedAtMs),
    deadline: timestampOf(operation.deadlineMs),
  });
}

/** To the millisecond, as over REST: what a number of milliseconds has behind its point is rounding, not time. */
function timestampOf(unixMs: number): SecondsAndNanos {
  const wholeMs = Math.trunc(unixMs);
  const seconds = Math.floor(wholeMs / 1000);
  return { seconds: BigInt(seconds), nanos: (wholeMs - seconds * 1000) * 1e6 };
}

function errorOf({ id, error, state }: Operation) {
  const retryAfterMs = error === null ? null : retryAfterOf(error);
  const known = error ?? {
    code: 'INTERNAL' as const,
    grpcCode: 'INTERNAL' as const,
    message: `the operation is ${state} without an error`,
    details: null,
    delivery: 'unknown' as const,
  };
  return statusOf({ ...known, requestId: null, operationId: id, retryAfterMs, violations: [] });
}

/** A result that this instance cannot read as its contract says (a rolling deploy) is shown as it came. */
function responseOf(result: OperationResult | null, command: Command | null): AnyValue {
  // A one-way command that was recorded: done once the broker had it.
  if (result === null) return packEmpty();
  if (command !== null) {
    try {
      return packReply(command, command.codec.replyFromWire(result.value, result.contentType));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
  }
  return rawResponseOf(result);
}

function rawResponseOf({ value }: OperationResult): AnyValue {
  if (value === null || value.length === 0) return packEmpty();
  try {
    return packJson(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(value)));
  } catch {
    return packUnknown(value);
  }
}
