import { beforeEach, describe, expect, it } from 'vitest';
import { Expiry } from '../../src/chores/expiry.ts';
import { Watermark } from '../../src/chores/watermark.ts';
import { AnnouncedChanges } from '../../src/operations/announced-changes.ts';
import { eventOf } from '../../src/operations/events.ts';
import type { Operation } from '../../src/operations/operation.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeLog, FakeRows, forever, type Row, settle, uncounted } from './chores-support.ts';

const onLog = { partition: 0, offset: 7n };

describe('expiry', () => {
  let rows: FakeRows;
  let log: FakeLog;
  let changed: Operation[];
  let watermark: Watermark;
  let expiry: Expiry;

  beforeEach(() => {
    rows = new FakeRows();
    log = new FakeLog();
    changed = [];
    watermark = new Watermark({ everyMs: 1000 }, { due: rows, log, clock: new FakeClock() });
    expiry = makeExpiry();
  });

  function makeExpiry(): Expiry {
    const changes = new AnnouncedChanges(rows, (operations) => void changed.push(...operations));
    const deps = { due: rows, changes, watermark, nowMs: () => rows.databaseMs, done: uncounted };
    return new Expiry({ everyMs: 1000, batchSize: 2 }, deps);
  }

  async function look(): Promise<void> {
    await watermark.run(forever).catch(() => undefined);
    await expiry.run(forever);
  }

  const passDeadlines = () => {
    rows.databaseMs += 60_001;
  };
  const settleReply = (id: string) =>
    rows.commit([{ operationId: id, events: [eventOf('succeeded', rows.databaseMs)] }]);

  it('ends a published operation whose deadline has passed, and says that its fate is unknown', async () => {
    const id = rows.add({ published: onLog, claimedBy: 'me' });
    await look();
    expect(rows.state(id)).toBe('accepted');
    passDeadlines();
    await look();
    expect(rows.get(id).operation).toMatchObject({
      state: 'expired',
      error: { code: 'OPERATION_EXPIRED', grpcCode: 'DEADLINE_EXCEEDED', delivery: 'unknown' },
    });
    expect(changed.map((operation) => operation.id)).toEqual([id]);
  });

  it('does not end one whose reply is on the log and not settled', async () => {
    const id = rows.add({ published: onLog, claimedBy: 'me' });
    log.append();
    passDeadlines();
    await look();
    await look();
    expect(rows.state(id)).toBe('accepted');
    await settleReply(id);
    rows.positions.set(0, 1n);
    await look();
    expect(rows.state(id)).toBe('succeeded');
  });

  it('ends nobody while Kafka cannot be asked, were it for hours', async () => {
    const id = rows.add({ published: onLog, claimedBy: 'me' });
    await look();
    log.isAway = true;
    rows.databaseMs += 3 * 3_600_000;
    await look();
    expect(rows.state(id)).toBe('accepted');
    log.isAway = false;
    await look();
    expect(rows.state(id)).toBe('expired');
  });

  it('spares one whose deadline passed after the time that is proved', async () => {
    log.append();
    await watermark.run(forever);
    passDeadlines();
    const id = rows.add({ published: onLog });
    rows.databaseMs += 60_001;
    rows.positions.set(0, 1n);
    await look();
    expect(rows.state(id)).toBe('accepted');
  });

  it('spares one whose deadline was renewed after it was listed', async () => {
    const id = rows.add({ published: onLog, claimedBy: 'me' });
    passDeadlines();
    const { listExpirable } = rows;
    rows.listExpirable = async (untilMs, limit) => {
      const listed = await listExpirable(untilMs, limit);
      if (listed.length > 0) await renewDeadline(id);
      return listed;
    };
    await look();
    expect(rows.state(id)).toBe('accepted');
  });

  const renewDeadline = (id: string) => {
    const event = eventOf('redriven', rows.databaseMs, { by: 'admin', deadlineMs: rows.databaseMs + 60_000 });
    return rows.commit([{ operationId: id, events: [event] }]);
  };

  it.each<[string, Partial<Row>]>([
    ['claimed by an instance that died', { claimedBy: 'dead' }],
    ['given back after sends of unknown fate', { maybeSent: true }],
    ['claimed by an instance that lives and sends no more', { claimedBy: 'me' }],
  ])('ends an unpublished one, %s, as unknown and only where the watermark proves its silence', async (_, parts) => {
    const id = rows.add(parts);
    log.append();
    passDeadlines();
    await look();
    expect(rows.state(id)).toBe('accepted');
    rows.positions.set(0, 1n);
    await look();
    expect(rows.get(id).operation).toMatchObject({ state: 'expired', error: { delivery: 'unknown' } });
  });

  it('ends one that was never sent as not_sent, whatever Kafka says', async () => {
    const id = rows.add();
    log.isAway = true;
    passDeadlines();
    await look();
    expect(rows.get(id).operation).toMatchObject({ state: 'expired', error: { delivery: 'not_sent' } });
  });

  it('says unknown of one that somebody claimed after it was listed as never sent', async () => {
    const id = rows.add();
    passDeadlines();
    const { listUnsendable } = rows;
    rows.listUnsendable = async (limit) => {
      const listed = await listUnsendable(limit);
      rows.get(id).claimedBy = 'other';
      return listed;
    };
    await look();
    expect(rows.get(id).operation).toMatchObject({ state: 'expired', error: { delivery: 'unknown' } });
  });

  it('takes many in bounded batches, all in one look', async () => {
    const ids = Array.from({ length: 5 }, () => rows.add({ published: onLog }));
    passDeadlines();
    await look();
    expect(ids.map((id) => rows.state(id))).toEqual(Array(5).fill('expired'));
    expect(rows.commits).toBe(3);
  });

  it('is said once where two holders see it at once', async () => {
    const id = rows.add({ published: onLog });
    passDeadlines();
    await watermark.run(forever);
    await Promise.all([expiry.run(forever), makeExpiry().run(forever)]);
    expect(rows.get(id).history.map(({ event }) => event.type)).toEqual(['expired']);
  });

  it('stops between two batches', async () => {
    for (let count = 0; count < 5; count += 1) rows.add({ published: onLog });
    passDeadlines();
    await watermark.run(forever);
    const stop = new AbortController();
    const { commit } = rows;
    rows.commit = (changes) => {
      stop.abort();
      return commit.call(rows, changes);
    };
    await expiry.run(stop.signal);
    await settle();
    expect(rows.commits).toBe(1);
  });
});
