import { isTerminal, type Operation } from '../operations/operation.ts';
import type { FoldOutcome, OperationEvent, RecordedEvent } from '../operations/store-ports.ts';
import { columnOf, flagOf, sharedColumnOf } from './columns.ts';
import { encodeEventData } from './event-data.ts';
import { stripNul, toJsonText } from './operation-row.ts';

/** One operation of a commit, before and after. */
export interface FoldedOperation extends FoldOutcome {
  readonly before: Operation;
  /** Those that were folded, absorbed ones included. */
  readonly events: readonly OperationEvent[];
  /** Whether `lateEvents` is more than the row has. */
  readonly lateCounted: boolean;
}

/** False where every event was known already or told nothing new: the row is left alone. */
export function isChanged({ appended, publication, lateCounted }: FoldedOperation): boolean {
  return appended.length > 0 || publication !== null || lateCounted;
}

/** The outcome is written by the change that ended the operation, and by no other. */
export function endsNow({ operation, before }: FoldedOperation): boolean {
  return isTerminal(operation.state) && !isTerminal(before.state);
}

/** Parameters $1 to $21 of `functions/write-operations.sql`. */
export function foldedColumns(folded: readonly FoldedOperation[]): unknown[] {
  return [
    columnOf(folded, ({ operation }) => operation.id),
    sharedColumnOf(folded, ({ operation }) => operation.state),
    columnOf(folded, ({ operation }) => operation.version),
    columnOf(folded, ({ operation }) => operation.updatedAtMs),
    columnOf(folded, ({ operation }) => operation.retainedUntilMs),
    columnOf(folded, ({ operation }) => operation.progress?.percent ?? null),
    columnOf(folded, ({ operation }) => stripNul(operation.progress?.message ?? null)),
    sharedColumnOf(folded, ({ lateEvents }) => lateEvents),
    sharedColumnOf(folded, endsNow),
    ...outcomeColumns(folded.map((one) => (endsNow(one) ? one.operation : null))),
    columnOf(folded, ({ publication }) => (publication?.kind === 'set' ? publication.receipt.partition : null)),
    columnOf(folded, ({ publication }) => (publication?.kind === 'set' ? publication.receipt.offset : null)),
    sharedColumnOf(folded, ({ events }) => events.some(provesSending)),
  ];
}

function outcomeColumns(outcomes: readonly (Operation | null)[]): unknown[] {
  const results = outcomes.map((operation) => operation?.result ?? null);
  const errors = outcomes.map((operation) => operation?.error ?? null);
  return [
    columnOf(results, (result) => result?.value ?? null),
    sharedColumnOf(results, (result) => stripNul(result?.contentType ?? null)),
    columnOf(results, (result) => result?.httpStatus ?? null),
    sharedColumnOf(results, (result) => result && toJsonText(result.headers)),
    columnOf(errors, (error) => error?.code ?? null),
    columnOf(errors, (error) => error?.grpcCode ?? null),
    columnOf(errors, (error) => stripNul(error?.message ?? null)),
    columnOf(errors, (error) => error && toJsonText(error.details)),
    columnOf(errors, (error) => error?.delivery ?? null),
  ];
}

/** An ack or any reply: the record went out. */
function provesSending(event: OperationEvent): boolean {
  return event.published !== null || event.position !== null;
}

interface AppendedEvent extends RecordedEvent {
  /** Of its operation among those that are written, from 1 on. */
  readonly place: number;
}

/** Parameters $22 to $30. */
export function appendedColumns(folded: readonly FoldedOperation[]): unknown[] {
  const appended: AppendedEvent[] = [];
  folded.forEach((one, index) => {
    for (const { number, event, late } of one.appended) appended.push({ place: index + 1, number, event, late });
  });
  return [
    columnOf(appended, ({ place }) => place),
    columnOf(appended, ({ number }) => number),
    sharedColumnOf(appended, ({ event }) => event.type),
    columnOf(appended, ({ event }) => event.atMs),
    flagOf(appended, ({ late }) => late),
    sharedColumnOf(appended, ({ event }) => encodeEventData(event)),
    sharedColumnOf(appended, ({ event }) => event.position?.topic ?? null),
    sharedColumnOf(appended, ({ event }) => event.position?.partition ?? null),
    columnOf(appended, ({ event }) => event.position?.offset ?? null),
  ];
}
