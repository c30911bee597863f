import { describe, expect, it } from 'vitest';
import { createResealCommand, createSealCommand } from '../../src/channel/envelope.ts';
import type { CommandFields } from '../../src/operations/channel-ports.ts';

const encoder = new TextEncoder();
const seal = createSealCommand({ source: 'https://gateway.example', replyTopic: 'replies' });

const fields: CommandFields = {
  operationId: '01890a5d-ac96-774b-bcce-b302099a8057',
  type: 'orders.v1.Orders.CreateOrder',
  topic: 'orders',
  key: encoder.encode('c1'),
  value: encoder.encode('{}'),
  contentType: 'application/json',
  reply: { correlationId: 'corr', partition: 5, dialect: 'both' },
  createdAtMs: Date.UTC(2026, 10, 21, 12, 0, 0, 7),
  deadlineMs: Date.UTC(2026, 10, 21, 12, 1, 0),
  attempt: 1,
  hops: 2,
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tracestate: 'a=b',
  principal: 'alice',
  extraHeaders: [['__TypeId__', 'CreateOrder']],
};

const inWords = (change: Partial<CommandFields> = {}) =>
  seal({ ...fields, ...change }).headers.map(
    ([name, value]) => `${name}: ${typeof value === 'string' ? value : Buffer.from(value).toString('hex')}`,
  );

describe('the envelope of a command', () => {
  it('has exactly the headers of the wire', () => {
    expect(inWords()).toEqual([
      'ce_specversion: 1.0',
      'ce_id: 01890a5d-ac96-774b-bcce-b302099a8057',
      'ce_source: https://gateway.example',
      'ce_type: orders.v1.Orders.CreateOrder',
      'ce_time: 2026-11-21T12:00:00.007Z',
      'ce_expirytime: 2026-11-21T12:01:00.000Z',
      'content-type: application/json',
      'kafka_correlationId: corr',
      'kafka_replyTopic: replies',
      'kafka_replyPartition: 5',
      'kafka_replyPartition: 00000005',
      'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'tracestate: a=b',
      'sluice-attempt: 1',
      'sluice-hops: 2',
      'sluice-principal: alice',
      '__TypeId__: CreateOrder',
    ]);
  });

  it.each([
    ['both', ['kafka_replyPartition: 31', 'kafka_replyPartition: 0000001f']],
    ['nest', ['kafka_replyPartition: 31']],
    ['spring', ['kafka_replyPartition: 0000001f']],
    ['none', []],
  ] as const)('names the reply partition in the dialect %s', (dialect, expected) => {
    const headers = inWords({ reply: { correlationId: 'corr', partition: 31, dialect } });
    expect(headers.filter((line) => line.startsWith('kafka_replyPartition'))).toEqual(expected);
  });

  it('offers no reply channel on a one-way command', () => {
    expect(inWords({ reply: null }).filter((line) => line.startsWith('kafka_'))).toEqual([]);
  });

  it('leaves out what there is not: principal, trace', () => {
    const names = inWords({ principal: '', traceparent: null, tracestate: 'a=b' }).map((line) => line.split(':')[0]);
    expect(names).not.toContain('sluice-principal');
    expect(names).not.toContain('traceparent');
    expect(names).not.toContain('tracestate');
  });

  it.each([
    'Authorization',
    'cookie',
    'proxy-authorization',
    'id',
    'timestamp',
    'contentType',
    'Content-Type',
    'replyChannel',
    'errorChannel',
    'spring_json_header_types',
    'traceparent',
    'ce_id',
    'CE_id',
    'sluice-hops',
    'kafka_replyTopic',
  ])('never lets %s in as an extra header', (name) => {
    expect(inWords({ extraHeaders: [[name, 'x']] })).toEqual(inWords({ extraHeaders: [] }));
  });

  it('takes the operation id for the key where the command has none', () => {
    expect(new TextDecoder().decode(seal({ ...fields, key: null }).key)).toBe(fields.operationId);
    expect(new TextDecoder().decode(seal(fields).key)).toBe('c1');
  });
});

describe('the record of a later attempt', () => {
  const reseal = createResealCommand({ replyTopic: 'replies' });
  const deadlineMs = Date.UTC(2026, 10, 21, 13);

  it('differs in attempt and deadline only, each in its place', () => {
    const first = seal(fields);
    const second = reseal(first, { attempt: 2, deadlineMs });
    const differing = second.headers.filter((each, index) => each[1] !== first.headers[index]?.[1]);
    expect(differing).toEqual([
      ['ce_expirytime', '2026-11-21T13:00:00.000Z'],
      ['sluice-attempt', '2'],
    ]);
    expect(second.headers.map(([name]) => name)).toEqual(first.headers.map(([name]) => name));
    expect({ ...second, headers: null }).toEqual({ ...first, headers: null });
    expect(second).toEqual(seal({ ...fields, attempt: 2, deadlineMs }));
  });

  it('asks for replies where this boot reads them: the topic of an earlier one may have died with it', () => {
    const elsewhere = createResealCommand({ replyTopic: 'replies.of-this-boot' });
    const { headers } = elsewhere(seal(fields), { attempt: 1, deadlineMs });
    expect(headers).toContainEqual(['kafka_replyTopic', 'replies.of-this-boot']);
  });

  it('is made of one that came back from the store with bytes for texts', () => {
    const first = seal(fields);
    const stored = {
      ...first,
      headers: first.headers.map(([name, value]): [string, Uint8Array] => [name, Buffer.from(value as string)]),
    };
    const texts = reseal(stored, { attempt: 3, deadlineMs }).headers.map(([name, value]) => `${name}: ${value}`);
    expect(texts).toContain('sluice-attempt: 3');
    expect(texts).toContain('ce_id: 01890a5d-ac96-774b-bcce-b302099a8057');
  });
});
