import { expect, it } from 'vitest';
import type { OperationEvent } from '../../src/operations/store-ports.ts';
import { newOperationId } from '../support/operations.ts';
import { describeStores } from '../support/store.ts';
import { aNewOperation, anEvent, aReplyEvent, aSuccess, TEST_TERMS } from '../support/store-parts.ts';
import { anError, dispatchedAt, insertOne, readFacts, readOne, settle } from '../support/store-rows.ts';

describeStores('the history of an operation', (get) => {
  it('gives back the events that were appended, every field of them', async () => {
    const { store } = get();
    const operation = aNewOperation({ terms: { ...TEST_TERMS, maxAttempts: 5 } });
    await store.insert([operation]);
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const events: OperationEvent[] = [
      dispatchedAt(9_007_199_254_740_993n, { afterAttempt: 1 }),
      aReplyEvent('acknowledged', 9_007_199_254_740_995n, { partition: 3 }),
      aReplyEvent('progressed', 2n, { progress: { percent: 12.5, message: 'some "way"' } }),
      anEvent('redriven', { by: 'boot2', afterAttempt: 1, deadlineMs: operation.deadlineMs + 5_000 }),
      anEvent('redriven', { by: null, afterAttempt: 2 }),
      aSuccess(3n, bytes),
    ];
    await settle(store, operation.id, ...events);
    const history = await store.readEvents(operation.id, 0, 100);
    const accepted = anEvent('accepted', { atMs: operation.createdAtMs });
    expect(history).toEqual([accepted, ...events].map((event, index) => ({ number: index + 1, event, late: false })));
  });

  it('gives back failures, with what a worker added to them', async () => {
    const { store } = get();
    const id = await insertOne(store);
    const error = { ...anError('failed'), details: { deep: ['\u0000', '\ud800', null] } };
    const failed = aReplyEvent('failed', 1n, { error });
    await settle(store, id, failed);
    expect((await store.readEvents(id, 1, 10)).map(({ event }) => event)).toEqual([failed]);
  });

  it('is read from a number on, so many at a time', async () => {
    const { store } = get();
    const id = await insertOne(store);
    await settle(store, id, ...[1n, 2n, 3n, 4n].map((offset) => aReplyEvent('progressed', offset)));
    const numbers = async (afterNumber: number, limit: number) =>
      (await store.readEvents(id, afterNumber, limit)).map(({ number }) => number);
    expect(await numbers(0, 2)).toEqual([1, 2]);
    expect(await numbers(2, 2)).toEqual([3, 4]);
    expect(await numbers(4, 10)).toEqual([5]);
    expect(await numbers(5, 10)).toEqual([]);
    expect(await store.readEvents(newOperationId(), 0, 10)).toEqual([]);
  });

  it('has what came too late, without the bytes that counted for nothing', async () => {
    const { store } = get();
    const id = await insertOne(store);
    const [first, late] = [aSuccess(1n), aSuccess(2n)];
    await settle(store, id, first, late);
    expect(await store.readEvents(id, 1, 10)).toEqual([
      { number: 2, event: first, late: false },
      { number: 3, event: { ...late, result: { ...late.result, value: null } }, late: true },
    ]);
  });

  it('says the same as the row, though text there holds no NUL and times are whole', async () => {
    const { store } = get();
    const createdAtMs = Date.now() + 0.4;
    const operation = aNewOperation({ createdAtMs, deadlineMs: createdAtMs + 60_000.3 });
    const inserted = await store.insert([operation]);
    expect(inserted).toMatchObject([{ operation: await readOne(store, operation.id) }]);
    const error = { ...anError('unknown'), message: 'too\u0000 late' };
    const { operations } = await settle(
      store,
      operation.id,
      aReplyEvent('progressed', 1n, { atMs: createdAtMs + 1.25, progress: { percent: 1, message: 'a\u0000b' } }),
      anEvent('failed', { atMs: createdAtMs + 2.75, error }),
    );
    const row = await readOne(store, operation.id);
    expect(operations).toEqual([row]);
    const [, progressed, failed] = (await store.readEvents(operation.id, 0, 10)).map(({ event }) => event);
    expect(row?.progress).toEqual(progressed?.progress);
    expect(row?.error).toEqual(failed?.error);
    expect(row?.updatedAtMs).toBe(failed?.atMs);
    expect(row?.error?.message).toBe('too late');
  });
});

describeStores('re-driving an operation', (get) => {
  it('clears where it was published, and claims it for who publishes it next', async () => {
    const { store, database } = get();
    const operation = aNewOperation();
    await store.insert([operation]);
    const deadlineMs = operation.deadlineMs + 60_000;
    await settle(store, operation.id, dispatchedAt(7n), aReplyEvent('acknowledged', 1n));
    const redriven = anEvent('redriven', { by: 'boot2', afterAttempt: 1, deadlineMs });
    const { operations } = await settle(store, operation.id, redriven);
    expect(await readOne(store, operation.id)).toMatchObject({ state: 'accepted', attempt: 2, deadlineMs });
    expect(operations).toEqual([await readOne(store, operation.id)]);
    expect(await readFacts(database, operation.id)).toEqual({
      claimed_by: 'boot2',
      maybe_sent: true,
      published_offset: null,
    });
    expect(await store.loadClaimed('boot2', [operation.id])).toMatchObject([
      { attempt: 2, deadlineMs, maybeSent: true },
    ]);
  });

  it('is done by one of two who saw the same silence', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    await settle(store, id, dispatchedAt(7n));
    const redrive = (by: string) => settle(store, id, anEvent('redriven', { by, afterAttempt: 1 }));
    await Promise.all(['boot2', 'boot3', 'boot4'].map(redrive));
    expect((await readOne(store, id))?.attempt).toBe(2);
    expect(await store.readEvents(id, 0, 10)).toHaveLength(3);
    const { claimed_by: claimedBy } = await readFacts(database, id);
    expect((await store.readEvents(id, 2, 1))[0]?.event.by).toBe(claimedBy);
  });

  it('is undone by no ack of the attempt before', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    await settle(store, id, dispatchedAt(7n, { afterAttempt: 1 }));
    await settle(store, id, anEvent('redriven', { by: 'boot2', afterAttempt: 1 }));
    await settle(store, id, dispatchedAt(8n, { afterAttempt: 1 }));
    expect((await readFacts(database, id)).published_offset).toBeNull();
    await settle(store, id, dispatchedAt(9n, { afterAttempt: 2 }));
    expect((await readFacts(database, id)).published_offset).toBe(9n);
    expect(await readOne(store, id)).toMatchObject({ state: 'dispatched', attempt: 2 });
  });

  it('and its ack may come in one transaction', async () => {
    const { store, database } = get();
    const id = await insertOne(store);
    await settle(store, id, dispatchedAt(7n, { afterAttempt: 1 }));
    const redriven = anEvent('redriven', { by: 'boot2', afterAttempt: 1 });
    await settle(store, id, redriven, dispatchedAt(9n, { afterAttempt: 2 }));
    expect((await readFacts(database, id)).published_offset).toBe(9n);
    expect(await readOne(store, id)).toMatchObject({ state: 'dispatched', attempt: 2 });
  });
});

describeStores('the word "not sent"', (get) => {
  const expire = (by: string | null) => anEvent('expired', { error: anError('not_sent'), by });

  it.each([
    ['of who has the command and has not sent it', { claimedBy: 'boot1', maybeSent: false }, 'boot1', 'not_sent'],
    ['of another', { claimedBy: 'boot1', maybeSent: false }, 'boot2', 'unknown'],
    ['of nobody in particular', { claimedBy: 'boot1', maybeSent: false }, null, 'unknown'],
    ['where an earlier claimer may have sent it', { claimedBy: 'boot1', maybeSent: true }, 'boot1', 'unknown'],
  ] as const)('%s', async (_, parts, by, delivery) => {
    const { store } = get();
    const id = await insertOne(store, parts);
    await settle(store, id, expire(by));
    expect((await readOne(store, id))?.error?.delivery).toBe(delivery);
    expect((await store.readEvents(id, 1, 1))[0]?.event.error?.delivery).toBe(delivery);
  });

  it('of a command that nobody has claimed', async () => {
    const { store } = get();
    const id = await insertOne(store);
    await store.giveBack('boot1', [{ operationId: id, maybeSent: false }]);
    await settle(store, id, expire(null));
    expect((await readOne(store, id))?.error?.delivery).toBe('not_sent');
  });

  it('after the ack or any reply is none', async () => {
    const { store } = get();
    for (const sign of [dispatchedAt(1n), aReplyEvent('acknowledged', 1n)]) {
      const id = await insertOne(store);
      await settle(store, id, sign);
      await settle(store, id, expire('boot1'));
      expect((await readOne(store, id))?.error?.delivery).toBe('unknown');
    }
  });
});
