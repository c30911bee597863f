import { beforeEach, describe, expect, it } from 'vitest';
import { OwnRows } from '../../src/chores/own-rows.ts';
import { Relay } from '../../src/chores/relay.ts';
import { Uptake } from '../../src/chores/uptake.ts';
import type { CommandRecord } from '../../src/operations/channel-ports.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { anOperation } from '../support/operations.ts';
import { FakeDispatcher, FakeRows, forever, settle, storeAway, uncounted } from './chores-support.ts';

let rows: FakeRows;
let dispatcher: FakeDispatcher;
let clock: FakeClock;
let uptake: Uptake;
let calm: { isKnown: boolean };
let relay: Relay;
let ownRows: OwnRows;

beforeEach(() => {
  rows = new FakeRows();
  dispatcher = new FakeDispatcher();
  clock = new FakeClock();
  uptake = new Uptake({
    bootId: 'me',
    outbox: rows,
    dispatcher,
    reseal: (record, changes) => ({ ...record, headers: [['changed', JSON.stringify(changes)]] }),
    nowMs: () => rows.databaseMs,
  });
  const options = { bootId: 'me', batchSize: 10, everyMs: 1000 };
  calm = { isKnown: true };
  relay = new Relay(options, { outbox: rows, uptake, calm, clock, done: uncounted });
  ownRows = new OwnRows(options, { outbox: rows, uptake, done: uncounted });
});

describe('the relay', () => {
  it('publishes what a dead instance claimed, as perhaps sent, and what was given back unsent', async () => {
    const ofDead = rows.add({ claimedBy: 'dead' });
    const ofNobody = rows.add();
    await relay.run(forever);
    expect(dispatcher.work.map(({ operationId, maybeSent }) => [operationId, maybeSent])).toEqual([
      [ofDead, true],
      [ofNobody, false],
    ]);
  });

  it('leaves alone what instances claim that may only seem dead, after an outage of the database', async () => {
    rows.add({ claimedBy: 'seems-dead' });
    const free = rows.add({ claimedBy: null });
    calm.isKnown = false;
    await relay.run(forever);
    expect(dispatcher.sent).toEqual([free]);
    calm.isKnown = true;
    await relay.run(forever);
    expect(dispatcher.sent).toHaveLength(2);
  });

  it('is not held up by rows of a topic that has no room', async () => {
    const stuck = rows.add({});
    const free = rows.add({});
    rows.get(stuck).record = { ...rows.get(stuck).record, topic: 'stuck' };
    dispatcher.fullTopics = ['stuck'];
    await relay.run(forever);
    expect(dispatcher.sent).toEqual([free]);
  });

  it('leaves alone what a living instance claims', async () => {
    rows.alive.add('other');
    rows.add({ claimedBy: 'other' });
    await relay.run(forever);
    expect(dispatcher.sent).toEqual([]);
  });

  it('seals every record anew, for its attempt and for this boot', async () => {
    const deadlineMs = rows.databaseMs + 5000;
    rows.add({ operation: anOperation({ attempt: 3, deadlineMs }) });
    rows.add({ operation: anOperation({ attempt: 1, deadlineMs }) });
    await relay.run(forever);
    expect(dispatcher.work.map(({ attempt, record }) => [attempt, record.headers])).toEqual([
      [3, [['changed', JSON.stringify({ attempt: 3, deadlineMs })]]],
      [1, [['changed', JSON.stringify({ attempt: 1, deadlineMs })]]],
    ]);
  });

  it('claims no more than the dispatcher has room for', async () => {
    dispatcher.maxItems = 2;
    for (let count = 0; count < 4; count += 1) rows.add();
    await relay.run(forever);
    expect(dispatcher.sent).toHaveLength(2);
    expect([...rows.rows.values()].filter(({ claimedBy }) => claimedBy === 'me')).toHaveLength(2);
  });

  it('gives back what the dispatcher refuses after all', async () => {
    const id = rows.add({ claimedBy: 'dead' });
    const { claimAbandoned } = rows;
    rows.claimAbandoned = async (bootId, bounds) => {
      const claimed = await claimAbandoned.call(rows, bootId, bounds);
      dispatcher.maxItems = 0;
      return claimed;
    };
    await relay.run(forever);
    expect(dispatcher.sent).toEqual([]);
    expect(rows.givenBack).toEqual([{ operationId: id, maybeSent: true }]);
    expect(rows.get(id).claimedBy).toBeNull();
  });

  it('takes more than one batch in a look', async () => {
    for (let count = 0; count < 25; count += 1) rows.add();
    await relay.run(forever);
    expect(dispatcher.sent).toHaveLength(25);
  });

  it('publishes ordered commands of a key one after the other, without waiting for the next tick', async () => {
    const ids = [1, 2, 3].map(() => rows.add({ ordered: true, key: 'k' }));
    const run = relay.run(forever);
    for (let count = 1; count <= 3; count += 1) {
      await settle();
      expect(dispatcher.sent).toEqual(ids.slice(0, count));
      dispatcher.complete(rows, ids[count - 1] as string);
    }
    await run;
    expect(clock.pendingTimers).toBe(0);
  });

  it('does not send an ordered command while the one before it is not on the log', async () => {
    const [first] = [1, 2].map(() => rows.add({ ordered: true, key: 'k' }));
    const run = relay.run(forever);
    await settle();
    for (let look = 0; look < 3; look += 1) {
      clock.advance(1000);
      await settle();
    }
    expect(dispatcher.sent).toEqual([first]);
    rows.rows.clear();
    dispatcher.forget(first as string);
    await run;
  });

  it('goes on with the commands of others while a key is stuck', async () => {
    const stuck = rows.add({ ordered: true, key: 'k' });
    const stop = new AbortController();
    const run = relay.run(stop.signal);
    await settle();
    const other = rows.add();
    clock.advance(1000);
    await settle();
    expect(dispatcher.sent).toEqual([stuck, other]);
    stop.abort();
    await run;
    expect(clock.pendingTimers).toBe(0);
  });

  it('looks again at once where it is asked to, also beside a key that is stuck', async () => {
    const stuck = rows.add({ ordered: true, key: 'k' });
    const stop = new AbortController();
    const run = relay.run(stop.signal);
    await settle();
    const other = rows.add();
    relay.hurry();
    await settle();
    expect(dispatcher.sent).toEqual([stuck, other]);
    stop.abort();
    await run;
  });

  it('sends nothing twice where two holders look at once', async () => {
    rows.alive.add('other');
    const deps = { outbox: rows, dispatcher, reseal: (record: CommandRecord) => record, nowMs: () => rows.databaseMs };
    const second = new Relay(
      { bootId: 'other', batchSize: 10, everyMs: 1000 },
      { outbox: rows, uptake: new Uptake({ ...deps, bootId: 'other' }), calm, clock, done: uncounted },
    );
    const ids = [1, 2, 3].map(() => rows.add());
    await Promise.all([relay.run(forever), second.run(forever)]);
    expect(dispatcher.sent.toSorted()).toEqual(ids.toSorted());
  });
});

describe('rows that this boot has claimed', () => {
  it('and does not hold are published, as perhaps sent', async () => {
    const id = rows.add({ claimedBy: 'me' });
    await ownRows.run(forever);
    await ownRows.run(forever);
    expect(dispatcher.work.map(({ operationId, maybeSent }) => [operationId, maybeSent])).toEqual([[id, true]]);
  });

  it('are not touched while it holds them', async () => {
    const id = rows.add({ claimedBy: 'me' });
    dispatcher.reserve(rows.get(id).record, id);
    await ownRows.run(forever);
    await ownRows.run(forever);
    expect(dispatcher.sent).toEqual([]);
  });

  it('are not touched where it comes to hold them after the first look', async () => {
    const id = rows.add({ claimedBy: 'me' });
    await ownRows.run(forever);
    dispatcher.reserve(rows.get(id).record, id);
    await ownRows.run(forever);
    expect(dispatcher.sent).toEqual([]);
  });

  it('are left to expiry past their deadline', async () => {
    rows.add({ claimedBy: 'me', operation: anOperation({ deadlineMs: rows.databaseMs - 1 }) });
    await ownRows.run(forever);
    await ownRows.run(forever);
    expect(dispatcher.sent).toEqual([]);
  });

  it('of other boots are not taken', async () => {
    rows.add({ claimedBy: 'dead' });
    await ownRows.run(forever);
    await ownRows.run(forever);
    expect(dispatcher.sent).toEqual([]);
  });

  it('are asked for again after the database was away', async () => {
    const id = rows.add({ claimedBy: 'me' });
    await ownRows.run(forever);
    const { loadClaimed } = rows;
    rows.loadClaimed = () => Promise.reject(storeAway);
    await expect(ownRows.run(forever)).rejects.toBe(storeAway);
    rows.loadClaimed = loadClaimed;
    await ownRows.run(forever);
    expect(dispatcher.sent).toEqual([id]);
  });

  it('are sent once where the relay takes, publishes and forgets one while it is being read', async () => {
    const id = rows.add({ claimedBy: 'me' });
    await ownRows.run(forever);
    const { loadClaimed } = rows;
    const answer = Promise.withResolvers<void>();
    rows.loadClaimed = async (bootId, ids) => {
      const loaded = await loadClaimed(bootId, ids);
      await answer.promise;
      return loaded;
    };
    const taking = ownRows.run(forever);
    await settle();
    // Given back meanwhile, it would be the relay's.
    rows.get(id).claimedBy = null;
    const relaying = relay.run(forever);
    await settle();
    for (const sent of dispatcher.sent) dispatcher.complete(rows, sent);
    answer.resolve();
    await Promise.all([taking, relaying]);
    expect(dispatcher.sent).toEqual([id]);
  });
});
