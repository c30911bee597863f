import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Operation } from '../../src/operations/operation.ts';
import { createStore, type Store } from '../../src/store/store.ts';
import { anInvocation, beatUntilHome, startCore, type TestCore } from '../support/core.ts';
import { TEST_STORE_CONFIG, testStoreDeps } from '../support/store-parts.ts';

// The clock stands still, so nothing is read again: whoever waits hears of a change from who committed it, or never.
describe('who waits here for an operation is told at once', () => {
  let store: Store;
  let core: TestCore;

  beforeAll(async () => {
    store = await createStore({ ...TEST_STORE_CONFIG, replyTopic: 'replies' }, testStoreDeps);
  });
  afterAll(() => store.close());

  beforeEach(async () => {
    core = await startCore(store);
    await beatUntilHome(core);
  });
  afterEach(async () => {
    core.channel.sent.forEach(({ ack }, index) => void ack.resolve({ partition: 0, offset: BigInt(index) }));
    await core.stop();
  });

  async function begin(): Promise<Operation> {
    const outcome = await core.operations.invoke(anInvocation({ wait: { kind: 'none' } }));
    if (outcome.kind !== 'pending') throw new Error(`expected a promise, got ${outcome.kind}`);
    await vi.waitFor(() => expect(core.channel.sent).toHaveLength(1));
    return outcome.operation;
  }

  /** Registered with what is known, so that it does not read by itself. */
  function waitUntil(known: Operation, until: (operation: Operation) => boolean): Promise<Operation | null> {
    const { signal } = new AbortController();
    return core.waiters.waitFor(known.id, { untilMs: Number.MAX_SAFE_INTEGER, signal, known, until });
  }

  it('that its command is on the log', async () => {
    const operation = await begin();
    const told = waitUntil(operation, ({ state }) => state === 'dispatched');
    core.channel.sent[0]!.ack.resolve({ partition: 0, offset: 0n });
    // Marks wait a moment, less than the second after which waiters read again.
    await vi.waitFor(() => expect(core.clock.pendingTimers).toBeGreaterThan(0));
    core.clock.advance(50);
    expect(await told).toMatchObject({ state: 'dispatched' });
  });

  it('of its reply', async () => {
    const told = waitUntil(await begin(), ({ state }) => state === 'succeeded');
    core.channel.sent[0]!.ack.resolve({ partition: 0, offset: 0n });
    core.channel.reply('result');
    expect(await told).toMatchObject({ state: 'succeeded' });
  });

  it('that it was cancelled', async () => {
    const operation = await begin();
    const told = waitUntil(operation, ({ state }) => state === 'cancelled');
    await core.administration.cancel(operation.id);
    expect(await told).toMatchObject({ state: 'cancelled' });
  });

  it('that it is sent again', async () => {
    const operation = await begin();
    const told = waitUntil(operation, ({ attempt }) => attempt === 2);
    await core.administration.redrive(operation.id);
    expect(await told).toMatchObject({ attempt: 2, state: 'accepted' });
  });
});
