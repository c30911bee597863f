import { expect, it } from 'vitest';
import { encodeParameters } from '../../src/store/postgres-parameters.ts';
import { openDatabase } from '../../src/store/store.ts';
import { createTestDatabase, describeWithPostgres } from '../support/real-parts.ts';
import { TEST_STORE_CONFIG, testStoreDeps } from '../support/store-parts.ts';

it('parameters that are no lists go to the driver as they are', () => {
  const bytes = new Uint8Array([1]);
  expect(encodeParameters(['a', 1, 2n, null, true, bytes])).toEqual(['a', 1, 2n, null, true, bytes]);
});

// The server is the judge of what was meant.
describeWithPostgres('parameters of lists', () => {
  const ask = async (type: string, values: readonly unknown[]) => {
    const database = await openDatabase(
      { ...TEST_STORE_CONFIG, databaseUrl: await createTestDatabase() },
      testStoreDeps,
    );
    try {
      const rows = await database.query<{ value: unknown }>(`SELECT unnest($1::${type}[]) AS value`, [values]);
      return rows.map(({ value }) => value);
    } finally {
      await database.close();
    }
  };

  it.each([
    ['text', ['', 'NULL', null, 'a,b', '{}', '"', '\\', 'a\\"b', ' ', 'ünï\n尺']],
    ['int', [0, -1, null, 2_147_483_647]],
    ['int8', [9_007_199_254_740_993n, null, 0n]],
    ['float8', [0.1, 1_700_000_000_123, null, -1e-7]],
    ['bool', [true, false, null]],
    ['bytea', [new Uint8Array(), null, Uint8Array.from({ length: 256 }, (_, index) => index), new Uint8Array([0])]],
    ['bytea', [null, null]],
    ['bytea', []],
    ['text', []],
  ])('of %s arrive as they are, list %#', async (type, values) => {
    expect(await ask(type as string, values as unknown[])).toStrictEqual(values);
  });

  it('of bytes may be views of something larger', async () => {
    const whole = Buffer.from('0123456789');
    const answer = (await ask('bytea', [
      whole.subarray(2, 4),
      new Uint8Array(whole.buffer, whole.byteOffset + 5, 1),
    ])) as Uint8Array[];
    expect(answer.map((value) => Buffer.from(value).toString())).toEqual(['23', '5']);
  });
});
