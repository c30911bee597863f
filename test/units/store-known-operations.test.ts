import { describe, expect, it } from 'vitest';
import { MAX_EVENTS } from '../../src/operations/fold.ts';
import type { Operation } from '../../src/operations/operation.ts';
import { snapshotOf } from '../../src/store/insert-columns.ts';
import { KnownOperations } from '../../src/store/known-operations.ts';
import { aNewOperation } from '../support/store-parts.ts';

const anOperation = (parts: Partial<Operation> = {}): Operation => ({ ...snapshotOf(aNewOperation()), ...parts });

describe('operations that are remembered', () => {
  it('are as many as there is room for, the oldest forgotten first', () => {
    const known = new KnownOperations(2);
    const [one, two, three] = [anOperation(), anOperation(), anOperation()];
    for (const operation of [one, two]) known.remember(operation);
    // Written again: no longer the oldest.
    known.remember({ ...one, version: 2 });
    known.remember(three);
    expect([one, two, three].map(({ id }) => known.get(id)?.version)).toEqual([2, undefined, 1]);
  });

  it('are open ones, with room in their history', () => {
    const known = new KnownOperations(10);
    const operation = anOperation();
    for (const last of [{ state: 'succeeded' as const }, { version: MAX_EVENTS }]) {
      known.remember(operation);
      known.remember({ ...operation, ...last });
      expect(known.get(operation.id)).toBeUndefined();
    }
  });
});
