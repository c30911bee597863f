import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { compileOwn } from '../../scripts/compile-own.ts';
import { operationType, packEmpty, statusType } from '../../src/contract/own-messages.ts';
import { fieldOf } from '../../src/edge/grpc/status.ts';

test('proto/sluice.binpb is what buf makes of proto/ (else run `node scripts/compile-own.ts`)', () => {
  const committed = readFileSync(new URL('../../proto/sluice.binpb', import.meta.url));
  expect(compileOwn().equals(committed)).toBe(true);
});

test('an operation message keeps its result', () => {
  const bytes = operationType.encode({ name: 'n', done: true, result: { case: 'response', value: packEmpty() } });
  expect(operationType.decode(bytes)).toMatchObject({ name: 'n', done: true, result: { case: 'response' } });
  expect(() => statusType.decode(Buffer.from([0x12, 0xff]))).toThrow();
});

test.each([
  [{ pointer: '#/items/0/sku' }, 'items[0].sku'],
  [{ pointer: '#' }, ''],
  [{ pointer: '#/a~1b/c%20d' }, 'a/b.c d'],
  [{ pointer: '#/bad%' }, 'bad%'],
  [{ header: 'sluice-hops' }, 'sluice-hops'],
  [{ parameter: 'page_size' }, 'page_size'],
])('the place %o is the field %s', (place, field) => {
  expect(fieldOf({ detail: 'x', ...place })).toBe(field);
});
