import { isTerminal, type Operation } from '../operations/operation.ts';
import type { FoldOutcome, OperationEvent, PublishReceipt } from '../operations/ports.ts';
import { stripNul, toJsonText } from './operation-row.ts';

/** One operation of a commit, before and after. */
export interface FoldedOperation {
  readonly before: Operation;
  readonly operation: Operation;
  /** Those that were folded, absorbed ones included. */
  readonly events: readonly OperationEvent[];
  readonly appended: FoldOutcome['appended'];
  readonly lateEvents: number;
  /** Whether `lateEvents` is more than the row has. */
  readonly lateCounted: boolean;
}

type NumberedEvent = FoldOutcome['appended'][number] & { readonly operationId: string };

/** False where every event was known already or told nothing new: the row is left alone. */
export function isChanged(one: FoldedOperation): boolean {
  return one.events.length > 0 && (one.appended.length > 0 || !isTerminal(one.before.state) || one.lateCounted);
}

/** Parameters $1 to $24 of `sql/update-operations.sql`. */
export function foldedColumns(folded: readonly FoldedOperation[]): unknown[][] {
  const after = folded.map((one) => one.operation);
  const outcomes = folded.map((one) => (endsNow(one) ? one.operation : null));
  const publications = folded.map(publicationOf);
  return [
    after.map((operation) => operation.id),
    after.map((operation) => operation.state),
    after.map((operation) => operation.version),
    after.map((operation) => operation.attempt),
    after.map((operation) => operation.updatedAtMs),
    after.map((operation) => operation.deadlineMs),
    after.map((operation) => operation.retainedUntilMs),
    after.map((operation) => operation.progress?.percent ?? null),
    after.map((operation) => stripNul(operation.progress?.message ?? null)),
    folded.map((one) => one.lateEvents),
    outcomes.map((operation) => operation !== null),
    ...outcomeColumns(outcomes),
    publications.map(({ kind }) => kind),
    publications.map(({ receipt }) => receipt?.partition ?? null),
    publications.map(({ receipt }) => receipt?.offset ?? null),
    folded.map((one) => one.events.some(provesSending)),
  ];
}

/** The outcome is written by the change that ended the operation, and by no other. */
function endsNow(one: FoldedOperation): boolean {
  return isTerminal(one.operation.state) && !isTerminal(one.before.state);
}

function outcomeColumns(outcomes: readonly (Operation | null)[]): unknown[][] {
  const results = outcomes.map((operation) => operation?.result ?? null);
  const errors = outcomes.map((operation) => operation?.error ?? null);
  return [
    results.map((result) => result?.value ?? null),
    results.map((result) => stripNul(result?.contentType ?? null)),
    results.map((result) => result?.httpStatus ?? null),
    results.map((result) => result && toJsonText(result.headers)),
    errors.map((error) => error?.code ?? null),
    errors.map((error) => error?.grpcCode ?? null),
    errors.map((error) => stripNul(error?.message ?? null)),
    errors.map((error) => error && toJsonText(error.details)),
    errors.map((error) => error?.delivery ?? null),
  ];
}

/** Where the record stands is a fact also when a reply overtook its ack; a re-drive will publish another record. */
function publicationOf(one: FoldedOperation): { kind: 'keep' | 'set' | 'clear'; receipt: PublishReceipt | null } {
  const last = one.events.findLast((event) => event.published !== null || event.type === 'redriven');
  if (!last || isTerminal(one.before.state)) return { kind: 'keep', receipt: null };
  return last.published === null ? { kind: 'clear', receipt: null } : { kind: 'set', receipt: last.published };
}

/** An ack or any reply: the record went out. */
function provesSending(event: OperationEvent): boolean {
  return event.published !== null || event.position !== null;
}

/** Parameters $25 to $33. */
export function eventColumns(folded: readonly FoldedOperation[]): unknown[][] {
  const numbered = folded.flatMap((one): NumberedEvent[] =>
    one.appended.map((appended) => ({ ...appended, operationId: one.operation.id })),
  );
  return [
    numbered.map(({ operationId }) => operationId),
    numbered.map(({ number }) => number),
    numbered.map(({ event }) => event.type),
    numbered.map(({ event }) => event.atMs),
    numbered.map(({ late }) => late),
    numbered.map(({ event }) => dataOf(event)),
    numbered.map(({ event }) => event.position?.topic ?? null),
    numbered.map(({ event }) => event.position?.partition ?? null),
    numbered.map(({ event }) => event.position?.offset ?? null),
  ];
}

/** All that an event says but its time, its reply and the result's bytes, as JSON text; null where that is nothing. */
function dataOf(event: OperationEvent): string | null {
  const { progress, error, published, result } = event;
  if (progress === null && error === null && published === null && result === null) return null;
  return JSON.stringify({
    ...(progress && { progress }),
    ...(error && { error }),
    ...(published && { published: { partition: published.partition, offset: String(published.offset) } }),
    ...(result && {
      result: { contentType: result.contentType, httpStatus: result.httpStatus, headers: result.headers },
    }),
  });
}
