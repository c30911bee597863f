import { describe, expect, it } from 'vitest';
import type { NewOperation } from '../../src/operations/store-ports.ts';
import { orderRows } from '../../src/store/insert-columns.ts';
import { aNewOperation, TEST_TERMS } from '../support/store-parts.ts';

const withKey = (principal: string, command: string, key: string) =>
  aNewOperation({ principal, command, idempotency: { key, fingerprint: new Uint8Array(32) } });

const idsOf = (operations: readonly NewOperation[]) => orderRows(operations).map(({ operation }) => operation.id);

describe('the order of an insert', () => {
  it('is the same for any two batches, so that none waits for the other in a circle', () => {
    const expected = [
      withKey('a', 'x', '2'),
      withKey('a', 'y', '1'),
      withKey('b', 'x', '1'),
      withKey('b', 'x', 'B'),
      withKey('b', 'x', 'a'),
      aNewOperation(),
      aNewOperation(),
    ];
    const ids = expected.map(({ id }) => id);
    expect(idsOf(expected)).toEqual(ids);
    expect(idsOf(expected.toReversed())).toEqual(ids);
    expect(idsOf([5, 0, 3, 6, 1, 4, 2].map((index) => expected[index]!))).toEqual(ids);
  });

  it('has each operation once', () => {
    const operation = aNewOperation();
    expect(idsOf([operation, operation])).toEqual([operation.id]);
  });

  it('puts ordered operations behind the first of their topic and key that is not published', () => {
    const terms = { ...TEST_TERMS, ordered: true };
    const published = { partition: 0, offset: 1n };
    const record = (topic: string, key: string) => ({ ...aNewOperation().record, topic, key: Buffer.from(key) });
    const operations = [
      aNewOperation({ terms, record: record('t', 'k'), published }),
      aNewOperation({ terms, record: record('t', 'k') }),
      aNewOperation({ record: record('t', 'k') }),
      aNewOperation({ terms, record: record('t', 'k2') }),
      aNewOperation({ terms, record: record('t2', 'k') }),
      aNewOperation({ terms, record: record('t', 'k') }),
    ];
    expect(orderRows(operations).map(({ behind }) => behind)).toEqual([false, false, false, false, false, true]);
  });
});
