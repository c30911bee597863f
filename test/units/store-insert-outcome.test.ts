import { describe, expect, it } from 'vitest';
import { StoreError } from '../../src/operations/store-ports.ts';
import type { Queryable } from '../../src/store/database.ts';
import { KnownOperations } from '../../src/store/known-operations.ts';
import { OperationInsertStore } from '../../src/store/operation-inserts.ts';
import { aNewOperation } from '../support/store-parts.ts';

/** Takes the insert of the first of two rows; the look for the other one finds the database gone. */
function databaseThatGoesAway(insertedId: string): Queryable {
  let asked = 0;
  return {
    query: async <Row>() => {
      asked += 1;
      if (asked > 1) throw new StoreError('no connection', { certainlyNotWritten: true });
      return [{ held: true, inserted_ids: [insertedId], held_ids: [] }] as Row[];
    },
    execute: async () => undefined,
  };
}

describe('a batch of inserts whose second question fails before it reached the database', () => {
  const options = { replyTopic: 'replies', owesEvents: false };

  it('is no reason to say that nothing was written: the first statement is committed', async () => {
    const [first, second] = [aNewOperation(), aNewOperation()];
    const store = new OperationInsertStore(databaseThatGoesAway(first.id), options, new KnownOperations(10));
    await expect(store.insert([first, second])).rejects.toMatchObject({ certainlyNotWritten: false });
  });

  it('is none for promotions either', async () => {
    const [first, second] = [aNewOperation(), aNewOperation()];
    const store = new OperationInsertStore(databaseThatGoesAway(first.id), options, new KnownOperations(10));
    const lease = { partition: 0, fence: 1n };
    await expect(store.promote([first, second], lease)).rejects.toMatchObject({ certainlyNotWritten: false });
  });

  it('says that nothing was written where the first statement did not reach the database', async () => {
    const away = new StoreError('no connection', { certainlyNotWritten: true });
    const database: Queryable = { query: () => Promise.reject(away), execute: async () => undefined };
    const store = new OperationInsertStore(database, options, new KnownOperations(10));
    await expect(store.insert([aNewOperation()])).rejects.toMatchObject({ certainlyNotWritten: true });
  });
});
