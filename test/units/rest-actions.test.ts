import { describe, expect, test } from 'vitest';
import type { Operation } from '../../src/operations/operation.ts';
import { Failure } from '../../src/runtime/failure.ts';
import { ID, openRig, operation, problemOf, succeeded } from './rest-support.ts';

const PATH = `/operations/${ID}`;

function cancelled(): Operation {
  return operation({
    state: 'cancelled',
    version: 4,
    error: {
      code: 'OPERATION_CANCELLED',
      grpcCode: 'CANCELLED',
      message: 'cancelled by its caller',
      details: null,
      delivery: 'unknown',
    },
  });
}

describe.each(['cancel', 'redrive'] as const)(':%s', (verb) => {
  test('answers the operation as it stands then', async () => {
    const rig = await openRig();
    const asked: unknown[] = [];
    rig[verb] = async (id, principal) => {
      asked.push([id, principal.id]);
      return operation({ version: 7 });
    };
    const response = await rig.send('POST', `${PATH}:${verb}`);
    expect(response.status).toBe(200);
    expect(asked).toEqual([[ID, '']]);
    expect(Object.fromEntries(response.headers)).toMatchObject({ etag: `W/"${ID}.7"`, 'retry-after': '1' });
    expect(await response.json()).toMatchObject({ id: ID, state: 'running', done: false });
    expect(rig.lines.at(-1)?.fields).toMatchObject({ route: `/operations/{id}:${verb}`, operationId: ID, status: 200 });
  });

  test('takes POST and OPTIONS only', async () => {
    const rig = await openRig();
    rig[verb] = () => Promise.reject(new Error('asked'));
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
      const refused = await rig.send(method, `${PATH}:${verb}`);
      expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'OPTIONS, POST']);
    }
    expect((await rig.send('OPTIONS', `${PATH}:${verb}`)).status).toBe(204);
  });

  test('of what is no id, or not there, is 404', async () => {
    const rig = await openRig();
    for (const id of ['x', ID.replace('1', '2')]) {
      const response = await rig.send('POST', `/operations/${id}:${verb}`);
      expect([response.status, (await problemOf(response))['code']]).toEqual([404, 'OPERATION_NOT_FOUND']);
    }
  });

  test('is refused to web pages of other sites, whatever name of this machine they use', async () => {
    const rig = await openRig();
    rig[verb] = () => Promise.reject(new Error('asked'));
    for (const origin of ['http://evil.example', 'null']) {
      const response = await rig.send('POST', `${PATH}:${verb}`, { origin });
      expect([response.status, (await problemOf(response))['code']]).toEqual([403, 'ADMIN_ONLY']);
    }
  });

  test('does not look at a body', async () => {
    const rig = await openRig();
    rig.operations.set(ID, operation());
    expect((await rig.post(`${PATH}:${verb}`, 'no JSON')).status).toBe(200);
  });
});

test('a result that won the race against a cancel stands, and is seen', async () => {
  const rig = await openRig();
  rig.cancel = async () => succeeded();
  const response = await rig.send('POST', `${PATH}:cancel`);
  expect(response.headers.get('retry-after')).toBeNull();
  expect(await response.json()).toMatchObject({ state: 'succeeded', done: true, result: { id: 'o1' } });
});

test.each([
  ['ADMIN_ONLY', 403],
  ['OPERATION_DONE', 409],
] as const)('a redrive that is refused as %s is %i', async (code, status) => {
  const rig = await openRig();
  rig.redrive = () => Promise.reject(new Failure(code, 'no'));
  const response = await rig.send('POST', `${PATH}:redrive`);
  expect([response.status, (await problemOf(response))['code']]).toEqual([status, code]);
});

test('other verbs are no route', async () => {
  const rig = await openRig();
  const response = await rig.send('POST', `${PATH}:undo`);
  expect([response.status, (await problemOf(response))['code']]).toEqual([404, 'ROUTE_NOT_FOUND']);
});

test('a cancelled operation says so, as its document and as its result', async () => {
  const rig = await openRig();
  rig.operations.set(ID, cancelled());
  const document = (await (await rig.get(PATH)).json()) as Record<string, unknown>;
  expect(document).toMatchObject({
    state: 'cancelled',
    done: true,
    error: { code: 'OPERATION_CANCELLED', status: 409 },
  });
  const result = await rig.get(`${PATH}/result`);
  expect(result.status).toBe(409);
  expect(await problemOf(result)).toMatchObject({
    code: 'OPERATION_CANCELLED',
    delivery: 'unknown',
    operation: { id: ID },
  });
});

test('the document links to what may be asked, and to no cancel once it is done', async () => {
  const rig = await openRig({ basePath: '/gate' });
  const base = `http://sluice.test/gate${PATH}`;
  rig.operations.set(ID, operation());
  const running = (await (await rig.get(`/gate${PATH}`)).json()) as { links: unknown };
  expect(running.links).toEqual({
    self: base,
    result: `${base}/result`,
    events: `${base}/events`,
    cancel: `${base}:cancel`,
  });
  rig.operations.set(ID, succeeded());
  const done = (await (await rig.get(`/gate${PATH}`)).json()) as { links: unknown };
  expect(done.links).toEqual({ self: base, result: `${base}/result`, events: `${base}/events` });
});
