import { expect, test } from 'vitest';
import { parsePrefer } from '../../src/edge/rest/prefer.ts';
import { openRig, operation } from './rest-support.ts';

test.each([
  [null, null, false],
  ['', null, false],
  ['respond-async', null, true],
  ['Respond-Async', null, true],
  ['wait=10', 10, false],
  ['WAIT=10', 10, false],
  ['wait=0', 0, false],
  ['wait="10"', 10, false],
  ['wait = 10', 10, false],
  ['respond-async, wait=10', 10, true],
  ['wait=10 , respond-async', 10, true],
  [' , ,respond-async,', null, true],
  ['respond-async; foo=bar', null, true],
  ['respond-async;', null, true],
  ['respond-async=""', null, true],
  ['wait=5; a; b="x, wait=9"', 5, false],
  ['foo="a, wait=3", wait=4', 4, false],
  ['foo="a \\", wait=3", wait=4', 4, false],
  ['foo; bar="respond-async", handling=lenient', null, false],
])('of "%s" the wait is %s and respond-async %s', (text, waitSeconds, respondAsync) => {
  expect(parsePrefer(text)).toEqual({ waitSeconds, respondAsync });
});

test.each([
  ['wait=10, wait=20', 10],
  ['wait=abc, wait=20', null],
])('of a repeated preference the first counts: %s', (text, waitSeconds) => {
  expect(parsePrefer(text).waitSeconds).toBe(waitSeconds);
});

test.each([
  'wait',
  'wait=',
  'wait=-1',
  'wait=1.5',
  'wait=1s',
  'wait=+1',
  'wait=0x1',
  'wait="1',
  '=5',
  'wait==5',
  'respond-async=yes',
  'respond async',
  '"respond-async"',
])('malformed is ignored: %s', (text) => {
  expect(parsePrefer(text)).toEqual({ waitSeconds: null, respondAsync: false });
});

test('what follows a malformed element is read all the same', () => {
  expect(parsePrefer('=;;(), wait=7').waitSeconds).toBe(7);
});

test.each([
  ['/v1/orders', undefined, { kind: 'default' }, null],
  ['/v1/orders', 'wait=5', { kind: 'for', waitMs: 5000 }, 'wait=5'],
  ['/v1/orders', 'wait=99', { kind: 'for', waitMs: 99_000 }, 'wait=30'],
  ['/v1/orders', 'respond-async', { kind: 'none' }, 'respond-async'],
  ['/v1/orders', 'respond-async, wait=5', { kind: 'for', waitMs: 5000 }, 'wait=5'],
  ['/v1/orders', 'wait=x, foo', { kind: 'default' }, null],
  ['/v1/judgements', 'wait=5', { kind: 'for', waitMs: 5000 }, null],
  ['/v1/judgements', 'respond-async', { kind: 'default' }, null],
])('%s with Prefer: %s waits %o and echoes %s in a 202', async (path, prefer, wait, applied) => {
  const rig = await openRig();
  rig.invoke = async () => ({ kind: 'pending', operation: operation() });
  const body = path === '/v1/orders' ? '{"customerId":"c1"}' : '{"id":"1"}';
  const response = await rig.post(path, body, prefer === undefined ? {} : { prefer });
  expect(response.status).toBe(202);
  expect(rig.invocations[0]?.wait).toEqual(wait);
  expect(response.headers.get('preference-applied')).toBe(applied);
  expect(response.headers.get('vary')).toBe('Prefer');
});

test.each([
  ['wait=5', 'wait=5'],
  ['respond-async, wait=5', 'wait=5'],
  ['foo', null],
])('a 200 within the wait of %s echoes %s', async (prefer, applied) => {
  const rig = await openRig();
  const response = await rig.get('/v1/orders/o1', { prefer });
  expect(response.status).toBe(200);
  expect(response.headers.get('preference-applied')).toBe(applied);
});

test('of repeated Prefer fields all are read', async () => {
  const rig = await openRig();
  rig.invoke = async () => ({ kind: 'pending', operation: operation() });
  const headers = new Headers([
    ['prefer', 'foo'],
    ['prefer', 'respond-async'],
  ]);
  const response = await rig.server.fetch(new Request('http://sluice.test/v1/orders/o1', { headers }));
  expect(response.headers.get('preference-applied')).toBe('respond-async');
});
