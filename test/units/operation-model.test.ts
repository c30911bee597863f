import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createFold, MAX_LATE_EVENTS } from '../../src/operations/fold.ts';
import type { Operation, OperationState } from '../../src/operations/operation.ts';
import { compareRebuilt, rebuildOperation } from '../../src/operations/resource/rebuild.ts';
import type { OperationEvent, RecordedEvent, RowFacts } from '../../src/operations/store-ports.ts';
import { OPERATION_EVENT_TYPES } from '../../src/operations/transitions.ts';
import { anOperation } from '../support/operations.ts';

const RUNS = 12_000;
const RETENTION_MS = 1000;
const fold = createFold({
  retentionMs: RETENTION_MS,
  checkResult: (_, { value }) => (value === null ? 'empty' : null),
});

/** What may happen to an operation, as whoever says it would say it, with all that it may have decided on long ago. */
const anyEvent: fc.Arbitrary<OperationEvent> = fc
  .record({
    type: fc.constantFrom(...OPERATION_EVENT_TYPES.filter((type) => type !== 'accepted')),
    atMs: fc.integer({ min: 0, max: 1000 }),
    attempt: fc.option(fc.integer({ min: 1, max: 4 })),
    deadlineMs: fc.option(fc.constantFrom(5000, 60_000, 90_000)),
    by: fc.option(fc.constantFrom('me', 'other')),
    percent: fc.integer({ min: 0, max: 100 }),
    isReadable: fc.boolean(),
    delivery: fc.constantFrom('not_sent' as const, 'unknown' as const, 'failed' as const),
  })
  .map((drawn): OperationEvent => {
    const { type, atMs, deadlineMs, by, delivery } = drawn;
    const isEnd = type === 'failed' || type === 'cancelled' || type === 'expired';
    return {
      type,
      atMs,
      position: null,
      by,
      afterAttempt: type === 'redriven' || type === 'dispatched' ? drawn.attempt : null,
      deadlineMs: type === 'redriven' || type === 'expired' ? deadlineMs : null,
      progress: type === 'progressed' ? { percent: drawn.percent, message: null } : null,
      published: type === 'dispatched' ? { partition: 0, offset: 7n } : null,
      result:
        type === 'succeeded'
          ? { value: drawn.isReadable ? Buffer.from('{}') : null, contentType: null, httpStatus: null, headers: [] }
          : null,
      error: isEnd ? { code: 'COMMAND_FAILED', grpcCode: 'ABORTED', message: 'no', details: null, delivery } : null,
    };
  });

const anyFacts: fc.Arbitrary<RowFacts> = fc.record({
  lateEvents: fc.constant(0),
  maybeSent: fc.boolean(),
  claimedBy: fc.option(fc.constantFrom('me', 'other')),
});

/** The same in few words: what a reader of the specification would expect, knowing nothing of the fold. */
class Model {
  state: OperationState = 'accepted';
  attempt = 1;
  deadlineMs: number;
  end: OperationEvent | null = null;

  constructor(start: Operation) {
    this.deadlineMs = start.deadlineMs;
  }

  take(event: OperationEvent): void {
    if (this.end !== null) return;
    switch (event.type) {
      case 'dispatched':
        if (this.isOf(event) && this.state === 'accepted') this.state = 'dispatched';
        break;
      case 'acknowledged':
      case 'progressed':
        this.state = 'running';
        break;
      case 'redriven':
        if (!this.isOf(event)) break;
        this.state = 'accepted';
        this.attempt += 1;
        this.deadlineMs = event.deadlineMs ?? this.deadlineMs;
        break;
      case 'expired':
        if (event.deadlineMs === null || event.deadlineMs >= this.deadlineMs) this.finish(event, 'expired');
        break;
      case 'succeeded':
        this.finish(event, event.result?.value === null ? 'failed' : 'succeeded');
        break;
      default:
        this.finish(event, event.type as OperationState);
    }
  }

  isOf(event: OperationEvent): boolean {
    return event.afterAttempt === null || event.afterAttempt === this.attempt;
  }

  finish(event: OperationEvent, state: OperationState): void {
    this.end = event;
    this.state = state;
  }
}

describe('an operation, whatever happens to it', () => {
  it('is what the model says', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 30 }), anyFacts, (events, facts) => {
        const start = anOperation();
        const model = new Model(start);
        for (const event of events) model.take(event);
        const { operation } = fold(start, events, facts);
        expect(operation).toMatchObject({
          state: model.state,
          attempt: model.attempt,
          deadlineMs: model.deadlineMs,
          retainedUntilMs: model.end === null ? null : model.end.atMs + RETENTION_MS,
        });
      }),
      { numRuns: RUNS },
    );
  });

  it('says not_sent only where no send is known of, by this row or by whoever has claimed it', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 30 }), anyFacts, (events, facts) => {
        const { operation, appended } = fold(anOperation(), events, facts);
        const end = appended.find(({ event, late }) => !late && event.error !== null)?.event;
        if (operation.error?.delivery !== 'not_sent') return;
        expect(facts.maybeSent).toBe(false);
        if (facts.claimedBy !== null) expect(end?.by).toBe(facts.claimedBy);
      }),
      { numRuns: RUNS },
    );
  });

  it('is rebuilt from its events alone', () => {
    fc.assert(
      fc.property(
        fc.array(anyEvent, { maxLength: 40 }),
        anyFacts,
        fc.integer({ min: 1, max: 40 }),
        (events, facts, cut) => {
          const start = anOperation();
          const history: RecordedEvent[] = [{ number: 1, event: { ...SAID_NOTHING, type: 'accepted' }, late: false }];
          let row = start;
          let lateEvents = 0;
          // In transactions of any size, as they come.
          for (let index = 0; index < events.length; index += cut) {
            const outcome = fold(row, events.slice(index, index + cut), { ...facts, lateEvents });
            row = outcome.operation;
            lateEvents = outcome.lateEvents;
            history.push(...outcome.appended);
          }
          const rebuilt = rebuildOperation(row, history);
          expect(compareRebuilt(row, rebuilt)).toEqual([]);
          expect(history.map(({ number }) => number)).toEqual(history.map((_, index) => index + 1));
          expect(history.filter(({ late }) => late).length).toBeLessThanOrEqual(MAX_LATE_EVENTS);
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('is told from a row that somebody changed', () => {
    const row = anOperation({ state: 'succeeded', version: 2 });
    const history: RecordedEvent[] = [
      { number: 1, event: { ...SAID_NOTHING, type: 'accepted' }, late: false },
      { number: 2, event: { ...SAID_NOTHING, type: 'failed' }, late: false },
    ];
    expect(compareRebuilt(row, rebuildOperation(row, history))).toContainEqual({
      operationId: row.id,
      field: 'state',
      row: 'succeeded',
      rebuilt: 'failed',
    });
  });
});

const SAID_NOTHING = {
  atMs: 0,
  position: null,
  progress: null,
  result: null,
  error: null,
  published: null,
  by: null,
  afterAttempt: null,
  deadlineMs: null,
};
