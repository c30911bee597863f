import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFold, MAX_EVENTS, MAX_LATE_EVENTS } from '../../src/operations/fold.ts';
import { isTerminal, OPERATION_STATES, type Operation } from '../../src/operations/operation.ts';
import type { OperationEvent, RowFacts } from '../../src/operations/store-ports.ts';
import { OPERATION_EVENT_TYPES, type OperationEventType, TRANSITIONS } from '../../src/operations/transitions.ts';

const fold = createFold({ retentionMs: 1000, checkResult: () => null });

function operation(parts: Partial<Operation> = {}): Operation {
  return {
    id: '01890000-0000-7000-8000-000000000001',
    command: 'a.v1.A/Do',
    principal: '',
    state: 'accepted',
    version: 1,
    attempt: 1,
    createdAtMs: 0,
    updatedAtMs: 0,
    deadlineMs: 1000,
    retainedUntilMs: null,
    progress: null,
    result: null,
    error: null,
    ...parts,
  };
}

const FRESH: RowFacts = { lateEvents: 0, maybeSent: false, claimedBy: null };

function event(type: OperationEventType, parts: Partial<OperationEvent> = {}): OperationEvent {
  const silent = { position: null, progress: null, result: null, error: null, published: null };
  return { type, atMs: 5, ...silent, by: null, afterAttempt: null, deadlineMs: null, ...parts };
}

describe('the state machine', () => {
  it('is the table of SPEC.md, cell by cell', () => {
    const spec = readFileSync(new URL('../../src/operations/SPEC.md', import.meta.url), 'utf8');
    const table = spec
      .slice(spec.indexOf('## Transitions'))
      .split('\n')
      .filter((line) => line.startsWith('|'));
    const columns = cellsOf(table[0] as string).slice(1);
    expect(columns).toEqual([...OPERATION_EVENT_TYPES]);
    const rows = table.slice(2).map(cellsOf);
    expect(rows.map(([state]) => state)).toEqual([...OPERATION_STATES]);
    for (const [state, ...cells] of rows) {
      const written = cells.map((cell) => (cell === '·' ? 'absorbed' : cell));
      expect(written).toEqual(columns.map((type) => TRANSITIONS[state as 'accepted'][type as OperationEventType]));
    }
  });

  it('ends at the first terminal event and never leaves it, whatever comes', () => {
    const anyEvents = fc.array(fc.constantFrom(...OPERATION_EVENT_TYPES), { maxLength: 40 });
    fc.assert(
      fc.property(anyEvents, (types) => {
        const outcome = fold(
          operation(),
          types.map((type) => event(type)),
          FRESH,
        );
        const firstEnd = types.find((type) => isTerminal(type as 'failed'));
        if (firstEnd) expect(outcome.operation.state).toBe(firstEnd);
        else expect(isTerminal(outcome.operation.state)).toBe(false);
      }),
      { numRuns: 2000 },
    );
  });

  it('numbers what it appends without a gap, up to the version of the row', () => {
    const anyEvents = fc.array(fc.constantFrom(...OPERATION_EVENT_TYPES), { maxLength: 60 });
    fc.assert(
      fc.property(anyEvents, (types) => {
        const { operation: after, appended } = fold(
          operation(),
          types.map((type) => event(type)),
          FRESH,
        );
        expect(appended.map(({ number }) => number)).toEqual(appended.map((_, index) => index + 2));
        expect(after.version).toBe(appended.length + 1);
      }),
      { numRuns: 2000 },
    );
  });

  it('gives the same row folded at once or one by one', () => {
    const anyEvents = fc.array(fc.constantFrom(...OPERATION_EVENT_TYPES), { maxLength: 30 });
    fc.assert(
      fc.property(anyEvents, (types) => {
        const events = types.map((type, index) => event(type, { atMs: index }));
        const atOnce = fold(operation(), events, FRESH);
        let step = { operation: operation(), lateEvents: 0 };
        for (const one of events) step = fold(step.operation, [one], { ...FRESH, lateEvents: step.lateEvents });
        expect(step.operation).toEqual(atOnce.operation);
        expect(step.lateEvents).toBe(atOnce.lateEvents);
      }),
      { numRuns: 2000 },
    );
  });

  it('keeps 16 late events and counts the rest', () => {
    const late = Array.from({ length: 20 }, () => event('failed'));
    const outcome = fold(operation({ state: 'succeeded', version: 3 }), late, FRESH);
    expect(outcome.appended).toHaveLength(MAX_LATE_EVENTS);
    expect(outcome.appended.every((entry) => entry.late)).toBe(true);
    expect(outcome.lateEvents).toBe(20);
    expect(outcome.operation.state).toBe('succeeded');
  });

  it('does not let a worker grow a history without bound, and still takes its result', () => {
    const { operation: after, appended } = fold(operation({ version: MAX_EVENTS }), [event('progressed')], {
      ...FRESH,
      lateEvents: MAX_LATE_EVENTS,
    });
    expect(appended).toHaveLength(0);
    // Alive all the same: silence is counted from it.
    expect(after.updatedAtMs).toBe(5);
    expect(fold(after, [event('succeeded')], FRESH).operation.state).toBe('succeeded');
  });

  it('leaves no trace of a dispatch mark that comes after the reply', () => {
    const outcome = fold(operation({ state: 'succeeded', version: 2 }), [event('dispatched')], FRESH);
    expect(outcome.appended).toHaveLength(0);
    expect(outcome.operation.version).toBe(2);
  });

  it('settles a result that the contract cannot read as failed, REPLY_INVALID, delivery unknown', () => {
    const error = { code: 'REPLY_INVALID', message: 'no such field', delivery: 'unknown' };
    const strict = createFold({ retentionMs: 1000, checkResult: () => 'no such field' });
    const result = { value: null, contentType: null, httpStatus: null, headers: [] };
    const outcome = strict(operation(), [event('succeeded', { result })], FRESH);
    expect(outcome.operation).toMatchObject({ state: 'failed', result: null, error });
    expect(outcome.appended[0]?.event.type).toBe('failed');
  });
});

function cellsOf(line: string): string[] {
  return line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
}
