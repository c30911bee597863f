import { expect, it } from 'vitest';
import type { NewOperation } from '../../src/operations/store-ports.ts';
import { describeStores } from '../support/store.ts';
import { aNewOperation, anEvent, aSuccess, openStoreOn } from '../support/store-parts.ts';
import { anError, insertOne, readOne, settle, typesOf } from '../support/store-rows.ts';

const fingerprint = new Uint8Array(32).fill(7);
let keyNumber = 0;
const newKey = () => `key-${++keyNumber}`;

const withKey = (key: string, parts: Partial<NewOperation> = {}) =>
  aNewOperation({ idempotency: { key, fingerprint }, ...parts });

const scopeOf = (key: string, parts: { principal?: string; command?: string } = {}) => ({
  principal: 'alice',
  command: 'test.v1.Test/Do',
  key,
  ...parts,
});

const summary = (outcome: { kind: string } & Record<string, unknown>) =>
  outcome.kind === 'inserted'
    ? (outcome as unknown as { operation: { id: string } }).operation.id
    : `taken by ${(outcome as unknown as { holder: { operation: { id: string } } }).holder.operation.id}`;

describeStores('keys of operations', (get, kind) => {
  it('belong to the first operation that brings them', async () => {
    const { store } = get();
    const key = newKey();
    const [first, second] = [withKey(key), withKey(key)];
    await store.insert([first]);
    const [outcome] = await store.insert([second]);
    const operation = await readOne(store, first.id);
    expect(outcome).toEqual({ kind: 'key_taken', holder: { operation, fingerprint } });
    expect(await readOne(store, second.id)).toBeUndefined();
  });

  it('are scoped by principal and command', async () => {
    const { store } = get();
    const key = newKey();
    const operations = [
      withKey(key),
      withKey(key, { principal: 'bob' }),
      withKey(key, { command: 'test.v1.Test/Other' }),
    ];
    const outcomes = await store.insert(operations);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['inserted', 'inserted', 'inserted']);
    const holders = await store.readByKeys([
      scopeOf(key, { principal: 'bob' }),
      scopeOf('nobody has it'),
      scopeOf(key),
      scopeOf(key, { command: 'test.v1.Test/Other' }),
      scopeOf(key),
    ]);
    expect(holders.map((holder) => holder?.operation.id ?? null)).toEqual([
      operations[1]!.id,
      null,
      operations[0]!.id,
      operations[2]!.id,
      operations[0]!.id,
    ]);
  });

  it('are taken by the first of two operations in one insert', async () => {
    const { store, database } = get();
    const key = newKey();
    const [first, plain, second] = [withKey(key), aNewOperation(), withKey(key)];
    const outcomes = await store.insert([first, plain, second]);
    expect(outcomes.map(summary)).toEqual([first.id, plain.id, `taken by ${first.id}`]);
    expect(await typesOf(database, second.id)).toEqual([]);
  });

  it('stay with the operation whose insert is repeated', async () => {
    const { store } = get();
    const operation = withKey(newKey());
    await store.insert([operation]);
    expect((await store.insert([operation])).map(summary)).toEqual([operation.id]);
    await settle(store, operation.id, aSuccess(1n));
    expect((await store.insert([operation])).map(summary)).toEqual([operation.id]);
  });

  it('answer with the end as it stands, success or error', async () => {
    const { store } = get();
    const [succeeded, failed] = [newKey(), newKey()];
    const operations = [withKey(succeeded), withKey(failed)];
    await store.insert(operations);
    await settle(store, operations[0]!.id, aSuccess(1n));
    await settle(store, operations[1]!.id, anEvent('expired', { error: anError('unknown') }));
    const holders = await store.readByKeys([scopeOf(succeeded), scopeOf(failed)]);
    expect(holders.map((holder) => holder?.operation.state)).toEqual(['succeeded', 'expired']);
  });

  it('are free again where the command was certainly not sent', async () => {
    const { store } = get();
    const key = newKey();
    const [first, second] = [withKey(key), withKey(key)];
    await store.insert([first]);
    await settle(store, first.id, anEvent('expired', { error: anError('not_sent'), by: 'boot1' }));
    expect((await readOne(store, first.id))?.error?.delivery).toBe('not_sent');
    expect(await store.readByKeys([scopeOf(key)])).toEqual([null]);
    expect((await store.insert([second])).map(summary)).toEqual([second.id]);
    expect((await store.insert([first])).map(summary)).toEqual([first.id]);
  });

  it('stay taken where the word "not sent" is not that of who has the command', async () => {
    const { store } = get();
    const key = newKey();
    const [first, second] = [withKey(key), withKey(key)];
    await store.insert([first]);
    await settle(store, first.id, anEvent('expired', { error: anError('not_sent'), by: 'boot2' }));
    expect((await readOne(store, first.id))?.error?.delivery).toBe('unknown');
    expect((await store.insert([second])).map(summary)).toEqual([`taken by ${first.id}`]);
  });

  it('go to one of many who bring them at the same time, from two gateways', async () => {
    const { store, database } = get();
    const stores = [store, openStoreOn(database)];
    const keys = Array.from({ length: 20 }, newKey);
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, (_, turn) => {
        // Each batch meets the keys in an order of its own.
        const order = turn % 2 ? keys : [...keys].reverse();
        return stores[turn % 2]!.insert([aNewOperation(), ...order.map((key) => withKey(key))]);
      }),
    );
    const holders = await store.readByKeys(keys.map((key) => scopeOf(key)));
    const holderIds = new Set(holders.map((holder) => holder!.operation.id));
    expect(holderIds.size).toBe(20);
    const keyed = outcomes.flatMap((batch) => batch.slice(1));
    expect(keyed.filter(({ kind }) => kind === 'inserted')).toHaveLength(20);
    for (const outcome of keyed) expect(holderIds).toContain(summary(outcome).replace('taken by ', ''));
  });

  it('of an operation that is inserted twice in parallel belong to it', async () => {
    const { store } = get();
    const operation = withKey(newKey());
    const outcomes = await Promise.all(Array.from({ length: 4 }, () => store.insert([operation])));
    expect(outcomes.flat().map(summary)).toEqual(Array(4).fill(operation.id));
  });

  // The embedded database has one session: nobody there can come between.
  if (kind === 'postgres') {
    it('that are released while another operation waits for them go to that one', async () => {
      const { store, database } = get();
      const key = newKey();
      const [first, second] = [await insertOne(store, withKey(key)), withKey(key)];
      let inserted: Promise<unknown> = Promise.resolve();
      await database.transaction(async (tx) => {
        await tx.query('UPDATE sluice.operation SET idempotency_key = NULL WHERE id = $1::uuid', [first]);
        inserted = store.insert([second]);
        await expect
          .poll(() => database.query('SELECT 1 FROM pg_locks WHERE NOT granted', []), { timeout: 10_000 })
          .toHaveLength(1);
      });
      expect(await inserted).toMatchObject([{ kind: 'inserted', operation: { id: second.id } }]);
    });
  }
});
