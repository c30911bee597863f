/** The status resource of an operation: its JSON and its entity tag. */

import type { Command } from '../../contract/command.ts';
import { failureOfOperation } from '../../operations/failures.ts';
import { isTerminal, type Operation, type OperationResult, resultOf } from '../../operations/operation.ts';
import { Failure } from '../../runtime/failure.ts';
import { toTimestamp } from '../../runtime/timestamp.ts';
import type { OperationLinks } from './links.ts';
import { describeFailure } from './problem.ts';

/** Weak: the links in the document depend on the way by which it was asked for. */
export function etagOf(operation: Operation): string {
  return `W/"${operation.id}.${operation.version}"`;
}

/** Weak comparison against a list (RFC 9110 sections 8.8.3.2 and 13.1.2). */
export function matchesEtag(ifNoneMatch: string | null, etag: string): boolean {
  if (ifNoneMatch === null) return false;
  if (ifNoneMatch.trim() === '*') return true;
  const opaque = etag.slice(2);
  return [...ifNoneMatch.matchAll(/(?:W\/)?("[^"]*")/g)].some((match) => match[1] === opaque);
}

/** @param command null where this instance's contract does not have it (any more). */
export function writeStatusDocument(operation: Operation, command: Command | null, links: OperationLinks): string {
  const head = JSON.stringify({
    id: operation.id,
    command: operation.command,
    state: operation.state,
    done: isTerminal(operation.state),
    progress: operation.progress,
    attempt: operation.attempt,
    createdAt: toTimestamp(operation.createdAtMs),
    updatedAt: toTimestamp(operation.updatedAtMs),
    deadline: toTimestamp(operation.deadlineMs),
    retainedUntil: operation.retainedUntilMs === null ? null : toTimestamp(operation.retainedUntilMs),
  });
  const tail = JSON.stringify({
    self: links.self,
    result: links.result,
    events: links.events,
    // What is done can no longer be cancelled.
    ...(isTerminal(operation.state) ? {} : { cancel: links.cancel }),
  });
  return `${head.slice(0, -1)}${writeOutcome(operation, command, links)},"links":${tail}}`;
}

function writeOutcome(operation: Operation, command: Command | null, links: OperationLinks): string {
  const result = resultOf(operation);
  if (result !== null) return `,"result":${writeResult(result, command)}`;
  if (!isTerminal(operation.state)) return '';
  return `,"error":${JSON.stringify(describeFailure(failureOfOperation(operation), () => links.self))}`;
}

/** The reply as the contract writes it; where the contract cannot, what is stored: JSON as it came, else base64. */
function writeResult(result: OperationResult, command: Command | null): string {
  const byContract = command === null ? null : writeByContract(result, command);
  if (byContract !== null) return byContract;
  if (result.value === null) return 'null';
  const text = Buffer.from(result.value.buffer, result.value.byteOffset, result.value.byteLength);
  return readAsJson(text) ?? JSON.stringify({ contentType: result.contentType, base64: text.toString('base64') });
}

function writeByContract(result: OperationResult, command: Command): string | null {
  try {
    return command.codec.replyToJson(command.codec.replyFromWire(result.value, result.contentType));
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
}

function readAsJson(text: Buffer): string | null {
  try {
    return JSON.stringify(JSON.parse(text.toString('utf8')));
  } catch {
    return null;
  }
}
