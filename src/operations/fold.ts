import { isTerminal, type Operation, type OperationError, type OperationResult } from './operation.ts';
import type { Fold, FoldOutcome, OperationEvent, RecordedEvent, RowFacts } from './store-ports.ts';
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
  return (start, events, facts) => {
    let operation = start;
    let lateEvents = facts.lateEvents;
    let publication: FoldOutcome['publication'] = null;
    let owesDeadLetter = false;
    const appended: RecordedEvent[] = [];
    for (const given of events) {
      if (isOutdated(given, operation)) continue;
      const event = refuseBadResult(tellTruth(given, facts), operation, options);
      publication = publicationAfter(event, operation) ?? publication;
      const next = TRANSITIONS[operation.state][event.type];
      if (next === 'absorbed' || hasTooLongAHistory(operation, event)) {
        if (isNoNews(event)) continue;
        // A sign of life past the bound of the history is one all the same: silence is counted from it.
        if (next !== 'absorbed') operation = { ...operation, updatedAtMs: Math.max(operation.updatedAtMs, event.atMs) };
        lateEvents += 1;
        if (lateEvents > MAX_LATE_EVENTS) continue;
        operation = { ...operation, version: operation.version + 1 };
        appended.push({ number: operation.version, event, late: true });
        continue;
      }
      operation = apply({ ...operation, state: next }, event, options.retentionMs);
      owesDeadLetter ||= isForTheDeadLetters(event, given);
      appended.push({ number: operation.version, event, late: false });
    }
    return { operation, appended, lateEvents, publication, owesDeadLetter };
  };
}

/**
 * Decided on what has changed since: of two instances that both saw a silence the second re-drives nothing, the ack of an
 * earlier attempt says nothing of a later one, and an expiry from before the deadline was renewed ends nothing.
 */
function isOutdated(event: OperationEvent, operation: Operation): boolean {
  if (event.afterAttempt !== null && event.afterAttempt !== operation.attempt) return true;
  return event.type === 'expired' && event.deadlineMs !== null && event.deadlineMs < operation.deadlineMs;
}

/** `not_sent` is a promise about every send of the record, so the row must not know of one by anybody else. */
function tellTruth(event: OperationEvent, { maybeSent, claimedBy }: RowFacts): OperationEvent {
  if (event.error?.delivery !== 'not_sent') return event;
  if (!maybeSent && (claimedBy === null || claimedBy === event.by)) return event;
  return { ...event, error: { ...event.error, delivery: 'unknown' } };
}

/** Where the record stands is a fact also when a reply overtook its ack. */
function publicationAfter(event: OperationEvent, operation: Operation): FoldOutcome['publication'] {
  if (isTerminal(operation.state)) return null;
  if (event.published !== null) return { kind: 'set', receipt: event.published };
  return event.type === 'redriven' ? { kind: 'cleared', claimedBy: event.by } : null;
}

/** Absorbed without a trace: the ordinary races of a fast worker with our own marks and clocks. */
function isNoNews(event: OperationEvent): boolean {
  return event.type === 'dispatched' || event.type === 'redriven' || event.type === 'expired';
}

/** What nobody answered, and what was answered with what the contract cannot read: only here is that found out. */
function isForTheDeadLetters(event: OperationEvent, given: OperationEvent): boolean {
  if (event.type === 'expired') return event.error?.delivery === 'unknown';
  return event.type === 'failed' && given.type === 'succeeded';
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
  const isRedriven = event.type === 'redriven';
  return {
    ...operation,
    version: operation.version + 1,
    updatedAtMs: Math.max(operation.updatedAtMs, event.atMs),
    attempt: isRedriven ? operation.attempt + 1 : operation.attempt,
    deadlineMs: isRedriven ? (event.deadlineMs ?? operation.deadlineMs) : operation.deadlineMs,
    progress: event.progress ?? operation.progress,
    result: event.result ?? operation.result,
    error: event.error ?? operation.error,
    retainedUntilMs: isTerminal(operation.state) ? event.atMs + retentionMs : null,
  };
}
