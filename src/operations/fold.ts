import { isTerminal, type Operation, type OperationError, type OperationResult } from './operation.ts';
import type { Fold, OperationEvent } from './ports.ts';
import { TRANSITIONS } from './transitions.ts';

/** Absorbed events that an operation's history keeps; later ones are only counted. */
export const MAX_LATE_EVENTS = 16;

/** Events of an operation that is not done; past it signs of life change nothing, so that no worker can grow a history. */
export const MAX_EVENTS = 1000;

export interface FoldOptions {
  /** How long a finished operation is kept, from its settlement. */
  readonly retentionMs: number;
  /**
   * Says why a result cannot be read, or null. A result that the contract cannot read is a failed operation, settled at
   * once; that of a command which this instance's contract lacks is kept as it came.
   */
  readonly checkResult: (command: string, result: OperationResult) => string | null;
}

/** Makes the pure function from a snapshot and events to the next snapshot and the history to append. */
export function createFold(options: FoldOptions): Fold {
  return (start, events, lateBefore) => {
    let operation = start;
    let lateEvents = lateBefore;
    const appended: { number: number; event: OperationEvent; late: boolean }[] = [];
    for (const given of events) {
      const event = refuseBadResult(given, operation, options);
      const next = TRANSITIONS[operation.state][event.type];
      if (next === 'absorbed' || hasTooLongAHistory(operation, event)) {
        // A dispatch mark that comes after the reply is the ordinary race of a fast worker, not news.
        if (event.type === 'dispatched') continue;
        lateEvents += 1;
        if (lateEvents > MAX_LATE_EVENTS) continue;
        operation = { ...operation, version: operation.version + 1 };
        appended.push({ number: operation.version, event, late: true });
        continue;
      }
      operation = apply({ ...operation, state: next }, event, options.retentionMs);
      appended.push({ number: operation.version, event, late: false });
    }
    return { operation, appended, lateEvents };
  };
}

function hasTooLongAHistory(operation: Operation, event: OperationEvent): boolean {
  return operation.version >= MAX_EVENTS && (event.type === 'progressed' || event.type === 'acknowledged');
}

function refuseBadResult(event: OperationEvent, operation: Operation, options: FoldOptions): OperationEvent {
  if (event.type !== 'succeeded' || event.result === null || isTerminal(operation.state)) return event;
  const reason = options.checkResult(operation.command, event.result);
  return reason === null ? event : { ...event, type: 'failed', result: null, error: invalidReply(reason) };
}

function invalidReply(message: string): OperationError {
  return { code: 'REPLY_INVALID', grpcCode: 'INTERNAL', message, details: null, delivery: 'unknown' };
}

function apply(operation: Operation, event: OperationEvent, retentionMs: number): Operation {
  return {
    ...operation,
    version: operation.version + 1,
    updatedAtMs: Math.max(operation.updatedAtMs, event.atMs),
    attempt: event.type === 'redriven' ? operation.attempt + 1 : operation.attempt,
    progress: event.progress ?? operation.progress,
    result: event.result ?? operation.result,
    error: event.error ?? operation.error,
    retainedUntilMs: isTerminal(operation.state) ? event.atMs + retentionMs : null,
  };
}
