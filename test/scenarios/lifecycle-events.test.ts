import { type CommandContext, CommandError } from '@sluice/worker';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Doors } from '../support/doors.ts';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { makePlainKafka } from '../support/kafka-channel.ts';
import { type SeenRecord, watchTopics } from './support/command-log.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 240_000 });

const POLL = { timeout: 60_000, interval: 20 };
const LONG = { wait: '30s', max_wait: '30s' };

interface EventDocument {
  readonly number: number;
  readonly type: string;
  readonly late: boolean;
}

describeOnBothStacks('lifecycle events', (stack) => {
  const doors = new Doors();
  let sluice: TestGateway;
  let told: readonly SeenRecord[];

  beforeAll(async () => {
    sluice = await startTestGateway({
      stack,
      config: {
        operations: { lifecycleEvents: true },
        http: { publicUrl: 'http://sluice.test' },
        chores: { intervalMs: 200 },
      },
      policies: { Do: LONG, Keep: LONG },
      handlers: { Do: work, Keep: work, TellKept: () => undefined },
    });
    told = await watchTopics(sluice.transport, [`${sluice.place.namespace}.sluice.events`]);
  });
  afterAll(async () => {
    doors.openAll();
    await sluice?.close();
  });

  async function work({ text, key }: { text: string; key?: string }, context: CommandContext) {
    await context.progress({ percent: 10, message: text });
    if (key) await doors.pass(key);
    await context.progress({ percent: 90 });
    if (text === 'refused') throw new CommandError('FAILED_PRECONDITION', 'sold out', [{ secret: 'of the caller' }]);
    return { text: `the result of ${text}` };
  }

  const ofOperation = (id: string) => told.filter(({ headers }) => headers.get('ce_subject') === id);
  const numberOf = ({ headers }: SeenRecord) => Number(headers.get('ce_id')!.split('.')[1]);
  const readHistory = async (id: string): Promise<EventDocument[]> =>
    (await sluice.rest.get(`/operations/${id}/events`)).body.events;
  /** All of them, each at least once, and none before one that it follows. */
  const expectWhole = async (id: string) => {
    const expected = async () => (await readHistory(id)).map(({ number, type }) => `${number} ${type}`);
    const seen = () => [...new Set(ofOperation(id).map((record) => `${numberOf(record)} ${typeOf(record)}`))];
    await expect.poll(async () => seen().length === (await expected()).length, POLL).toBe(true);
    expect(seen()).toEqual(await expected());
  };
  const promise = async (path: string, body: object): Promise<string> => {
    const answer = await sluice.rest.post(path, body, { prefer: 'respond-async' });
    expect(answer.status, answer.text).toBe(202);
    return answer.body.id;
  };

  it('are CloudEvents with the operation as subject and key', async () => {
    const id = await promise('/v1/do', { text: 'told' });
    await sluice.rest.follow(id);
    await expectWhole(id);
    const [first] = ofOperation(id);
    expect(Object.fromEntries(first!.headers)).toMatchObject({
      ce_specversion: '1.0',
      ce_id: `${id}.1`,
      ce_source: 'http://sluice.test',
      ce_type: 'sluice.operation.accepted',
      ce_subject: id,
      ce_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      'content-type': 'application/json',
    });
    expect(first!.key).toBe(id);
    expect(JSON.parse(first!.text)).toMatchObject({ id, command: 'calls.v1.Calls/Do', number: 1, type: 'accepted' });
  });

  it('tell every event of operations of every kind, those of one in order', async () => {
    const cancelled = await promise('/v1/do', { text: 'cancelled', key: 'cancelled' });
    await expect.poll(() => doors.isReached('cancelled'), POLL).toBe(true);
    await sluice.rest.call('POST', `/operations/${cancelled}:cancel`);
    doors.open('cancelled');
    const ids = await Promise.all([
      promise('/v1/do', { text: 'plain' }),
      promise('/v1/do', { text: 'refused' }),
      promise('/v1/tell-kept', { text: 'one way' }),
      sluice.rest
        .post('/v1/do', { text: 'promoted', key: 'promoted' }, { prefer: 'wait=0' })
        .then(({ body }) => body.id),
    ]);
    doors.open('promoted');
    for (const id of ids) await sluice.rest.follow(id);
    // What came too late is told as well.
    const isLate = async () => (await readHistory(cancelled)).some(({ late }) => late);
    await expect.poll(isLate, POLL).toBe(true);
    for (const id of [...ids, cancelled]) await expectWhole(id);
    const states = new Set([...ids, cancelled].flatMap((id) => ofOperation(id).map(typeOf)));
    expect([...states]).toEqual(expect.arrayContaining(['accepted', 'progressed', 'succeeded', 'failed', 'cancelled']));
  });

  it('hold no payload: neither what was asked nor what was answered', async () => {
    const { body } = await sluice.rest.post('/v1/keep', { text: 'unspoken' });
    expect(body).toEqual({ text: 'the result of unspoken' });
    const { operations } = (await sluice.rest.get('/operations?command=calls.v1.Calls/Keep')).body;
    await expectWhole(operations[0].id);
    const texts = told.map(({ text }) => text).join('\n');
    expect(texts).not.toMatch(/the result of|of the caller/);
  });

  it('are not of calls that were never recorded', async () => {
    const known = new Set(told.map(({ headers }) => headers.get('ce_subject')));
    const answer = await sluice.rest.post('/v1/do', { text: 'unrecorded' });
    expect(answer.status, answer.text).toBe(200);
    const after = await promise('/v1/do', { text: 'recorded' });
    await sluice.rest.follow(after);
    await expectWhole(after);
    const subjects = new Set(told.map(({ headers }) => headers.get('ce_subject')));
    expect([...subjects].filter((id) => !known.has(id))).toEqual([after]);
  });
});

describeOnBothStacks('lifecycle events that nobody asked for', (stack) => {
  it('are not written, and their topic is not made', async () => {
    const sluice = await startTestGateway({ stack, handlers: { Do: () => ({}) } });
    try {
      const { body } = await sluice.rest.post('/v1/do', {}, { prefer: 'respond-async' });
      expect((await sluice.rest.follow(body.id)).body.state).toBe('succeeded');
      const topics = await listTopics(sluice);
      expect(topics).toContain(`${sluice.place.namespace}.sluice.control`);
      expect(topics).not.toContain(`${sluice.place.namespace}.sluice.events`);
    } finally {
      await sluice.close();
    }
  });
});

function typeOf({ headers }: SeenRecord): string {
  return headers.get('ce_type')!.replace('sluice.operation.', '');
}

async function listTopics({ gateway, config, place }: TestGateway): Promise<readonly string[]> {
  if (gateway.broker !== null) {
    const { broker } = gateway;
    const names = ['control', 'events'].map((name) => `${place.namespace}.sluice.${name}`);
    return names.filter((topic) => broker.partitionCount(topic) > 0);
  }
  const admin = makePlainKafka(config.kafka.brokers).admin();
  await admin.connect();
  try {
    return await admin.listTopics();
  } finally {
    await admin.disconnect();
  }
}
