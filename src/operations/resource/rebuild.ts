import { createFold, MAX_EVENTS } from '../fold.ts';
import type { Operation } from '../operation.ts';
import type { RecordedEvent } from '../store-ports.ts';
import type { RebuildDifference } from './administration.ts';

/** Events stand as they were checked when they were appended; rows keep their retention whatever the config says now. */
const refold = createFold({ retentionMs: 0, checkResult: () => null });

/** What the history alone says of an operation; of one without a history, that it was accepted. */
export function rebuildOperation(row: Operation, history: readonly RecordedEvent[]): Operation {
  const start: Operation = {
    id: row.id,
    command: row.command,
    principal: row.principal,
    state: 'accepted',
    version: 1,
    attempt: 1,
    createdAtMs: row.createdAtMs,
    updatedAtMs: row.createdAtMs,
    // Every later deadline stands in the event that renewed it.
    deadlineMs: row.deadlineMs,
    retainedUntilMs: null,
    progress: null,
    result: null,
    error: null,
  };
  const events = history.slice(1).map(({ event }) => event);
  return refold(start, events, { lateEvents: 0, maybeSent: false, claimedBy: null }).operation;
}

/** Where the row is not what its history says. */
export function compareRebuilt(row: Operation, rebuilt: Operation): RebuildDifference[] {
  const differences: RebuildDifference[] = [];
  for (const [field, of] of Object.entries(COMPARED)) {
    const [rowValue, rebuiltValue] = [of(row), of(rebuilt)];
    if (JSON.stringify(rowValue) === JSON.stringify(rebuiltValue)) continue;
    differences.push({ operationId: row.id, field, row: rowValue, rebuilt: rebuiltValue });
  }
  return differences;
}

const COMPARED: Readonly<Record<string, (operation: Operation) => unknown>> = {
  state: ({ state }) => state,
  version: ({ version }) => version,
  attempt: ({ attempt }) => attempt,
  // Past the bound of the history signs of life move the row and are only counted.
  updatedAt: ({ updatedAtMs, version }) => (version < MAX_EVENTS ? Math.round(updatedAtMs) : null),
  progress: ({ progress }) => progress,
  result: ({ result }) => result && { ...result, value: result.value && Buffer.from(result.value).toString('base64') },
  error: ({ error }) => error,
  isRetained: ({ retainedUntilMs }) => retainedUntilMs !== null,
};
