import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  cancellationRecord,
  deadLetterOfCommand,
  deadLetterOfReply,
  lifecycleEvent,
  rehomedReply,
  withoutValue,
} from '../../src/channel/own-records.ts';
import { readReply } from '../../src/channel/read-reply.ts';
import type { OwedDeadLetter } from '../../src/chores/ports.ts';
import type { OwnRecord } from '../../src/operations/channel-ports.ts';
import type { UnreadableReply } from '../../src/operations/reply.ts';
import type { OperationEvent, RecordedEvent } from '../../src/operations/store-ports.ts';
import { anOperation } from '../support/operations.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const ID = '01890a5d-ac96-774b-bcce-b302099a8057';

/** Names and texts; a value of bytes is told by its text too. */
const inWords = (record: OwnRecord) =>
  record.headers.map(([name, value]) => `${name}: ${typeof value === 'string' ? value : Buffer.from(value)}`);
const headerOf = (record: OwnRecord, name: string) => String(record.headers.findLast(([each]) => each === name)?.[1]);

const raw = {
  key: bytes('k'),
  value: bytes('v'),
  headers: [
    ['kafka_correlationId', bytes(`${ID}.3.uabc`)],
    ['twice', bytes('1')],
    ['twice', bytes('2')],
  ] as const,
};

const event = (parts: Partial<OperationEvent>): OperationEvent => ({
  type: 'accepted',
  atMs: Date.UTC(2026, 10, 21, 12),
  position: null,
  progress: null,
  result: null,
  error: null,
  published: null,
  by: null,
  afterAttempt: null,
  deadlineMs: null,
  ...parts,
});
const recorded = (number: number, parts: Partial<OperationEvent> = {}, late = false): RecordedEvent => ({
  number,
  late,
  event: event(parts),
});

describe('a reply that is sent home', () => {
  const home = rehomedReply(raw, 'replies', 3, { partition: 1, offset: 42n });

  it('is the same but for the mark of where it stood', () => {
    expect({ ...home, headers: null }).toEqual({
      topic: 'replies',
      partition: 3,
      key: raw.key,
      value: raw.value,
      headers: null,
    });
    expect(inWords(home)).toEqual([
      `kafka_correlationId: ${ID}.3.uabc`,
      'twice: 1',
      'twice: 2',
      'sluice-rehomed: 1/42',
    ]);
  });

  it('is known there as one that was', () => {
    const headers = home.headers.map(([name, value]) => [name, Buffer.from(value as string)] as const);
    const position = { topic: 'replies', partition: 3, offset: 0n };
    const read = readReply({ ...raw, headers, position, timestampMs: 0 }, { maxResultBytes: 10 });
    expect(read).toMatchObject({ isRehomed: true, correlation: { operationId: ID, homePartition: 3 } });
  });
});

describe('the dead letter of a reply', () => {
  const unreadable: UnreadableReply = {
    raw,
    isRehomed: false,
    position: { topic: 'replies', partition: 1, offset: 42n },
    correlation: null,
    code: 'REPLY_INVALID',
    reason: `no good\u0000${'x'.repeat(5000)}`,
    sizeBytes: 1,
  };
  const letter = deadLetterOfReply(unreadable, 'dead');

  it('is the record as it came, with the reason and where it stood', () => {
    expect(letter).toMatchObject({ topic: 'dead', partition: null, key: raw.key, value: raw.value });
    expect(inWords(letter).slice(0, 3)).toEqual([`kafka_correlationId: ${ID}.3.uabc`, 'twice: 1', 'twice: 2']);
    expect(inWords(letter).slice(4)).toEqual([
      'sluice-dead-letter-code: REPLY_INVALID',
      'sluice-dead-letter-topic: replies',
      'sluice-dead-letter-partition: 1',
      'sluice-dead-letter-offset: 42',
    ]);
  });

  it('has a reason that is short, and that text columns can hold', () => {
    const reason = headerOf(letter, 'sluice-dead-letter-reason');
    expect(reason).toMatch(/^no goodx/);
    expect(reason).toHaveLength(1000);
  });

  it('tells size and SHA-256 in place of a value that its topic refuses', () => {
    const short = withoutValue(letter);
    expect(short.value).toBeNull();
    expect(inWords(short).slice(-2)).toEqual([
      'sluice-dead-letter-size: 1',
      `sluice-dead-letter-sha256: ${createHash('sha256').update('v').digest('hex')}`,
    ]);
    expect(headerOf(withoutValue({ ...letter, value: null }), 'sluice-dead-letter-size')).toBe('0');
  });
});

describe('the dead letter of a command', () => {
  const owed = (history: readonly RecordedEvent[]): OwedDeadLetter => ({
    operation: anOperation({
      id: ID,
      command: 'orders.v1.Orders/CreateOrder',
      state: 'expired',
      attempt: 3,
      error: {
        code: 'OPERATION_EXPIRED',
        grpcCode: 'DEADLINE_EXCEEDED',
        message: 'nobody answered',
        details: null,
        delivery: 'unknown',
      },
    }),
    record: { topic: 'orders', key: bytes('c1'), value: bytes('{"a":1}'), headers: [['ce_id', ID]] },
    history,
  });

  it('has the command as it was sent, the reason, and the history', () => {
    const letter = deadLetterOfCommand(
      owed([
        recorded(1),
        recorded(2, { type: 'dispatched', published: { partition: 4, offset: 9n } }),
        recorded(3, { type: 'progressed', progress: { percent: 40, message: 'packing' } }),
        recorded(
          4,
          { type: 'succeeded', position: { topic: 'replies', partition: 1, offset: 8n }, result: null },
          true,
        ),
      ]),
      'dead',
    );
    expect({ ...letter, headers: null }).toEqual({
      topic: 'dead',
      partition: null,
      key: bytes(ID),
      value: bytes('{"a":1}'),
      headers: null,
    });
    expect(inWords(letter).slice(0, -1)).toEqual([
      `ce_id: ${ID}`,
      'sluice-dead-letter-reason: nobody answered',
      'sluice-dead-letter-code: OPERATION_EXPIRED',
      'sluice-dead-letter-command: orders.v1.Orders/CreateOrder',
      'sluice-dead-letter-topic: orders',
      'sluice-dead-letter-key: c1',
      'sluice-dead-letter-state: expired',
      'sluice-dead-letter-delivery: unknown',
      'sluice-dead-letter-attempts: 3',
    ]);
    const time = '2026-11-21T12:00:00.000Z';
    expect(JSON.parse(headerOf(letter, 'sluice-dead-letter-history'))).toEqual({
      omitted: 0,
      events: [
        { number: 1, type: 'accepted', time },
        { number: 2, type: 'dispatched', time, published: { partition: 4, offset: '9' } },
        { number: 3, type: 'progressed', time, progress: { percent: 40, message: 'packing' } },
        {
          number: 4,
          type: 'succeeded',
          time,
          late: true,
          reply: { topic: 'replies', partition: 1, offset: '8' },
        },
      ],
    });
  });

  it('keeps the first and the last events of a long history, and says how many are left out', () => {
    const progress = { percent: 1, message: 'y'.repeat(5000) };
    const long = Array.from({ length: 1000 }, (_, index) => recorded(index + 1, { type: 'progressed', progress }));
    const text = headerOf(deadLetterOfCommand(owed(long), 'dead'), 'sluice-dead-letter-history');
    const { omitted, events } = JSON.parse(text) as { omitted: number; events: { number: number }[] };
    expect(omitted + events.length).toBe(1000);
    expect([events[0]?.number, events[1]?.number, events.at(-1)?.number]).toEqual([1, omitted + 2, 1000]);
    expect(text.length).toBeLessThan(32 * 1024);
  });
});

it('a cancellation is an event of its own about the operation, without a value, the same each time it is told', () => {
  const told = cancellationRecord(ID, {
    controlTopic: 'control',
    source: 'https://gateway.example',
    nowMs: Date.UTC(2026, 10, 21, 12),
  });
  expect({ ...told, headers: null }).toEqual({
    topic: 'control',
    partition: null,
    key: bytes(ID),
    value: null,
    headers: null,
  });
  expect(inWords(told)).toEqual([
    'ce_specversion: 1.0',
    `ce_id: ${ID}.cancelled`,
    'ce_source: https://gateway.example',
    'ce_type: sluice.operation.cancelled',
    `ce_subject: ${ID}`,
    'ce_time: 2026-11-21T12:00:00.000Z',
  ]);
});

it('a lifecycle event is thin: what happened to which operation, and no payload', () => {
  const error = {
    code: 'REPLY_INVALID',
    grpcCode: 'INTERNAL',
    message: 'not JSON',
    details: { secret: 1 },
    delivery: 'unknown',
  } as const;
  const result = { value: bytes('secret'), contentType: null, httpStatus: null, headers: [] };
  const owed = { operationId: ID, command: 'a.B/C', ...recorded(5, { type: 'failed', error, result }) };
  const record = lifecycleEvent(owed, { eventsTopic: 'events', source: 'sluice://x' });
  expect(record).toMatchObject({ topic: 'events', partition: null, key: bytes(ID) });
  expect(inWords(record)).toEqual([
    'ce_specversion: 1.0',
    `ce_id: ${ID}.5`,
    'ce_source: sluice://x',
    'ce_type: sluice.operation.failed',
    `ce_subject: ${ID}`,
    'ce_time: 2026-11-21T12:00:00.000Z',
    'content-type: application/json',
  ]);
  expect(JSON.parse(Buffer.from(record.value!).toString())).toEqual({
    id: ID,
    command: 'a.B/C',
    number: 5,
    type: 'failed',
    time: '2026-11-21T12:00:00.000Z',
    error: { code: 'REPLY_INVALID', grpcCode: 'INTERNAL', message: 'not JSON', delivery: 'unknown' },
  });
});
