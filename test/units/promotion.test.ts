import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeConfig } from '../../src/config.ts';
import type { Outcome } from '../../src/operations/invocation.ts';
import { LeaseLostError, type LeaseProof, type NewOperation, StoreError } from '../../src/operations/store-ports.ts';
import { Failure } from '../../src/runtime/failure.ts';
import { createStore, type Store } from '../../src/store/store.ts';
import { anInvocation, beatUntilHome, startCore, type TestCore } from '../support/core.ts';
import { aNewOperation, TEST_STORE_CONFIG, testStoreDeps } from '../support/store-parts.ts';

type InsertFate = 'commits' | 'loses its lease' | 'never reaches the database' | 'commits without a word';

/** What can happen to one call, in any order that is possible. */
type Step = 'ack' | 'reply' | 'expire' | 'insert';

const orders = permutationsOf<Step>(['ack', 'reply', 'expire', 'insert']).filter(
  (steps) => steps.indexOf('expire') < steps.indexOf('insert'),
);
const fates: InsertFate[] = ['commits', 'loses its lease', 'never reaches the database', 'commits without a word'];

/** The real store, whose promotions wait for the test. */
class GatedStore {
  readonly #store: Store;
  #gate = Promise.withResolvers<InsertFate>();
  promotions = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  asStore(): Store {
    return { ...this.#store, promote: (operations, lease) => this.#promote(operations, lease) };
  }

  letThrough(fate: InsertFate): void {
    this.#gate.resolve(fate);
  }

  async #promote(operations: readonly NewOperation[], lease: LeaseProof) {
    this.promotions += 1;
    if (this.promotions > 1) return this.#store.promote(operations, lease);
    const fate = await this.#gate.promise;
    if (fate === 'loses its lease') throw new LeaseLostError(lease.partition);
    if (fate === 'never reaches the database') throw new StoreError('refused', { certainlyNotWritten: true });
    const rows = await this.#store.promote(operations, lease);
    if (fate === 'commits') return rows;
    throw new StoreError('connection lost in mid-commit', { certainlyNotWritten: false });
  }
}

describe('promotion, in every ordering of ack, reply, end of the wait and insert', () => {
  let store: Store;
  let core: TestCore;
  let gated: GatedStore;

  beforeAll(async () => {
    store = await createStore({ ...TEST_STORE_CONFIG, replyTopic: 'replies' }, testStoreDeps);
  });
  afterAll(() => store.close());

  beforeEach(async () => {
    gated = new GatedStore(store);
    core = await startCore(gated.asStore());
    await beatUntilHome(core);
  });
  afterEach(() => core.stop());

  for (const fate of fates) {
    for (const steps of orders) {
      it(`${steps.join(', ')}; the insert ${fate}`, async () => {
        const invoked = core.operations.invoke(anInvocation());
        const ended = invoked.then(
          (outcome) => outcome,
          (error: unknown) => error as Failure,
        );
        await vi.waitFor(() => expect(core.channel.sent).toHaveLength(1));
        for (const step of steps) await take(step, fate);
        const outcome = await ended;
        await checkNothingIsLost(outcome, steps, fate);
      });
    }
  }

  it('needs no place among the unpublished for a call that is on the log, and takes none', async () => {
    const { maxUnpublishedPerTopic } = makeConfig().operations;
    const { record } = aNewOperation({
      record: { topic: 'test', key: Buffer.from(''), value: Buffer.from(''), headers: [] },
    });
    const others = Array.from({ length: maxUnpublishedPerTopic }, (_, index) => `unpublished-${index}`);
    for (const id of others) core.dispatcher.reserve(record, id);
    const outcomes = Promise.allSettled([1, 2].map(() => core.operations.invoke(anInvocation())));
    await vi.waitFor(() => expect(core.channel.sent).toHaveLength(2));
    await take('ack', 'commits');
    gated.letThrough('commits');
    await take('expire', 'commits');
    expect(await outcomes).toMatchObject([
      { value: { kind: 'pending', operation: { state: 'dispatched' } } },
      { reason: { code: 'WAIT_EXPIRED', delivery: 'unknown' } },
    ]);
    expect(core.dispatcher.pending).toBe(others.length);
    for (const id of others) core.dispatcher.giveBack(record, id);
    core.channel.sent[1]?.ack.resolve({ partition: 0, offset: 8n });
  });

  async function take(step: Step, fate: InsertFate): Promise<void> {
    if (step === 'ack') core.channel.sent[0]?.ack.resolve({ partition: 0, offset: 7n });
    if (step === 'reply') core.channel.reply('result', { value: Buffer.from('{"ok":true}') });
    if (step === 'expire') {
      core.clock.advance(1000);
      await turnOfTheLoop();
    }
    if (step === 'insert') gated.letThrough(fate);
    await turnOfTheLoop();
  }

  async function checkNothingIsLost(outcome: Outcome | Failure, steps: Step[], fate: InsertFate): Promise<void> {
    const answeredFirst = steps.indexOf('reply') < steps.indexOf('expire');
    if (answeredFirst) {
      expect(outcome).toMatchObject({ kind: 'replies' });
      expect(gated.promotions).toBe(0);
    } else if (fate === 'commits') {
      expect(outcome).toMatchObject({ kind: 'pending' });
      await expectSuccess((outcome as Outcome & { kind: 'pending' }).operation.id);
    } else if (fate === 'commits without a word') {
      expect(outcome).toMatchObject({ code: 'WAIT_EXPIRED', delivery: 'unknown' });
      await expectSuccess(core.channel.sent[0]?.record.headers.find(([name]) => name === 'ce_id')?.[1] as string);
    } else if (steps.indexOf('reply') < steps.indexOf('insert')) {
      expect(outcome).toMatchObject({ kind: 'replies' });
    } else {
      expect(outcome).toBeInstanceOf(Failure);
      expect(outcome).toMatchObject({ code: 'WAIT_EXPIRED', delivery: 'unknown' });
    }
    await expectNothingStuck();
  }

  async function expectSuccess(id: string): Promise<void> {
    await vi.waitFor(async () => {
      core.clock.advance(100);
      expect((await store.read([id])).map(({ state }) => state)).toEqual(['succeeded']);
    });
  }

  /** The read position reaches the end of the log, no call is open, no slot is kept. */
  async function expectNothingStuck(): Promise<void> {
    await vi.waitFor(() => {
      core.clock.advance(500);
      expect(core.loop.cursor(0)?.committed).toBe(core.channel.endOffset);
    });
    expect(core.calls.openCalls).toBe(0);
    await vi.waitFor(() => expect(core.dispatcher.pending).toBe(0));
  }
});

function turnOfTheLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function permutationsOf<Item>(items: readonly Item[]): Item[][] {
  if (items.length <= 1) return [[...items]];
  return items.flatMap((item, index) => permutationsOf(items.toSpliced(index, 1)).map((others) => [item, ...others]));
}
