import type { OffsetMove } from '../operations/store-ports.ts';
import { appendedColumns, endsNow, type FoldedOperation, foldedColumns, isChanged } from './change-columns.ts';
import type { ChangeNotices } from './change-notices.ts';
import { columnOf, flagOf } from './columns.ts';
import type { Statement } from './database.ts';
import { loadCall, loadStatement } from './statements.ts';

const WRITE = loadCall('write-operations');
const MOVE = loadStatement('move-lease');
const REDRIVE = loadStatement('redrive-operations');
const CONCLUDE = loadStatement('conclude-operations');

export interface WriteOptions {
  readonly replyTopic: string;
  /** Whether each event is owed to the topic of lifecycle events. */
  readonly owesEvents: boolean;
  /** Null where nobody else can listen. */
  readonly notices: ChangeNotices | null;
}

/** Of a commit, besides what was folded. */
export interface WriteParts {
  readonly move: OffsetMove | null;
  /** Whether the rows are locked; else they are written only in the versions that were folded. */
  readonly areLocked: boolean;
}

/**
 * What is to be written of folded operations, with the move of the lease. One statement, the first, does for all that
 * happens a thousand times a second; what a re-drive or an unhappy end adds to the row stands in statements of its own,
 * which other batches do not pay for.
 */
export function writeFolded(
  folded: readonly FoldedOperation[],
  { move, areLocked }: WriteParts,
  options: WriteOptions,
): Statement[] {
  const changed = folded.filter(isChanged);
  if (changed.length === 0) return move === null ? [] : [moveLease(move, options.replyTopic)];
  const params = [
    ...foldedColumns(changed),
    ...appendedColumns(changed),
    options.owesEvents,
    ...moveParams(move, options.replyTopic),
    areLocked ? null : columnOf(changed, ({ before }) => before.version),
    options.notices?.payloads(changed.map(({ operation }) => operation.id)) ?? null,
  ];
  return [{ sql: WRITE, params }, ...redrive(changed.filter(isRedriven)), ...conclude(changed.filter(leavesWork))];
}

/** Of a lease that nobody has locked: no row where it was taken over or moved. */
export function moveLease(move: OffsetMove, replyTopic: string): Statement {
  return { sql: MOVE, params: moveParams(move, replyTopic) };
}

function moveParams(move: OffsetMove | null, replyTopic: string): unknown[] {
  if (move === null) return [null, null, null, null, null];
  return [replyTopic, move.partition, move.fence, move.expectedOffset, move.nextOffset];
}

function isRedriven({ operation, before, publication }: FoldedOperation): boolean {
  if (publication?.kind === 'cleared') return true;
  return operation.attempt !== before.attempt || operation.deadlineMs !== before.deadlineMs;
}

function redrive(redriven: readonly FoldedOperation[]): Statement[] {
  if (redriven.length === 0) return [];
  const params = [
    columnOf(redriven, ({ operation }) => operation.id),
    columnOf(redriven, ({ operation }) => operation.attempt),
    columnOf(redriven, ({ operation }) => operation.deadlineMs),
    columnOf(redriven, ({ publication }) => publication?.kind === 'cleared'),
    columnOf(redriven, ({ publication }) => (publication?.kind === 'cleared' ? publication.claimedBy : null)),
  ];
  return [{ sql: REDRIVE, params }];
}

function leavesWork(one: FoldedOperation): boolean {
  return endsNow(one) && (freesKey(one) || owesDeadLetter(one) || owesCancellation(one));
}

/** The command reaches nobody, so the caller may try it again under the same key. */
function freesKey({ operation }: FoldedOperation): boolean {
  return operation.error?.delivery === 'not_sent';
}

function owesDeadLetter(one: FoldedOperation): boolean {
  return one.owesDeadLetter;
}

/** Where anybody may have sent the command; the row says the rest. */
function owesCancellation(one: FoldedOperation): boolean {
  return one.operation.state === 'cancelled' && !freesKey(one);
}

function conclude(concluded: readonly FoldedOperation[]): Statement[] {
  if (concluded.length === 0) return [];
  const params = [
    columnOf(concluded, ({ operation }) => operation.id),
    flagOf(concluded, owesDeadLetter),
    flagOf(concluded, owesCancellation),
    flagOf(concluded, freesKey),
  ];
  return [{ sql: CONCLUDE, params }];
}
