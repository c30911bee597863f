import { request } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { createManagementServer, type ManagementOptions, type ManagementServer } from '../../src/edge/management.ts';
import { Failure } from '../../src/runtime/failure.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { anOperation } from '../support/operations.ts';
import { anEvent, aSucceeded, FakeAdministration, NO_DIFFERENCES } from './management-support.ts';

const servers: ManagementServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function start(
  administration: FakeAdministration | null,
  options: Partial<ManagementOptions> = {},
): Promise<string> {
  const readiness = () => ({ ready: true, reasons: [], degraded: [] });
  const server = createManagementServer(
    { host: '127.0.0.1', port: 0, ...options },
    { readiness, metrics: createMetrics(), ...(administration && { administration }) },
  );
  servers.push(server);
  return `http://127.0.0.1:${(await server.listen()).port}`;
}

const JSON_TYPE = { 'content-type': 'application/json' };

function post(url: string, headers: Record<string, string> = JSON_TYPE, body?: string) {
  return fetch(url, { method: 'POST', headers, ...(body !== undefined && { body }) });
}

async function read(url: string): Promise<[number, unknown]> {
  const response = await fetch(url);
  return [response.status, await response.json()];
}

describe('operations on the management port', () => {
  it("lists everybody's, and passes on filters and paging", async () => {
    const administration = new FakeAdministration([anOperation(), anOperation({ principal: 'bob' }), anOperation()]);
    const base = await start(administration);
    const [status, page] = await read(`${base}/operations?page_size=2`);
    expect(status).toBe(200);
    expect(page).toMatchObject({ operations: [{ principal: '' }, { principal: 'bob' }], nextPageToken: '2' });
    expect(await read(`${base}/operations?page_size=2&page_token=2`)).toMatchObject([200, { nextPageToken: '' }]);
    await read(`${base}/operations?principal=&command=a.B%2FC&state=failed`);
    expect(administration.asked).toEqual([
      ['list', { principal: null, command: null, state: null, pageSize: 2, pageToken: null }],
      ['list', { principal: null, command: null, state: null, pageSize: 2, pageToken: '2' }],
      ['list', { principal: '', command: 'a.B/C', state: 'failed', pageSize: null, pageToken: null }],
    ]);
  });

  it('refuses a filter that it does not know, which would filter nothing', async () => {
    const administration = new FakeAdministration([anOperation()]);
    const base = await start(administration);
    for (const query of ['pricipal=bob', 'state=a&state=b', 'page_size=-1']) {
      const response = await fetch(`${base}/operations?${query}`);
      expect([response.status, response.headers.get('content-type')]).toEqual([400, 'application/problem+json']);
      expect(await response.json()).toMatchObject({
        code: 'REQUEST_INVALID',
        errors: [{ parameter: query.split('=')[0] }],
      });
    }
    expect(administration.asked).toEqual([]);
  });

  it('lists what is unreconciled', async () => {
    const administration = new FakeAdministration([anOperation()]);
    const base = await start(administration);
    expect(await read(`${base}/operations/unreconciled?page_size=5`)).toMatchObject([200, { operations: [{}] }]);
    expect(administration.asked).toEqual([['listUnreconciled', { pageSize: 5, pageToken: null }]]);
  });

  it('shows an operation without the bytes of its result, unless it is asked for them', async () => {
    const operation = aSucceeded('{"card":"4111"}');
    const base = await start(new FakeAdministration([operation]));
    const response = await fetch(`${base}/operations/${operation.id}`);
    const text = await response.text();
    expect(text).not.toContain('4111');
    expect(JSON.parse(text)).toMatchObject({
      id: operation.id,
      principal: 'alice',
      state: 'succeeded',
      done: true,
      result: { contentType: 'application/json', sizeBytes: 15 },
    });
    const [, full] = await read(`${base}/operations/${operation.id}?full=1`);
    expect(full).toMatchObject({ result: { sizeBytes: 15, value: { card: '4111' } } });
  });

  it('gives bytes that are no JSON in base64', async () => {
    const operation = anOperation({
      state: 'succeeded',
      result: { value: Uint8Array.of(8, 1), contentType: 'application/protobuf', httpStatus: null, headers: [] },
    });
    const base = await start(new FakeAdministration([operation]));
    expect(await read(`${base}/operations/${operation.id}?full=1`)).toMatchObject([
      200,
      { result: { base64: 'CAE=' } },
    ]);
  });

  it('gives the history after a number, positions of 64 bits as text', async () => {
    const operation = anOperation();
    const administration = new FakeAdministration([operation]);
    administration.events = [
      anEvent(1),
      anEvent(2, { type: 'dispatched', published: { partition: 3, offset: 2n ** 60n } }),
      anEvent(3, { type: 'succeeded', position: { topic: 'replies', partition: 0, offset: 7n } }, true),
    ];
    const base = await start(administration);
    expect(await read(`${base}/operations/${operation.id}/events?after=1`)).toEqual([
      200,
      {
        events: [
          {
            number: 2,
            type: 'dispatched',
            at: '1970-01-01T00:00:02.000Z',
            published: { partition: 3, offset: '1152921504606846976' },
          },
          {
            number: 3,
            type: 'succeeded',
            at: '1970-01-01T00:00:03.000Z',
            late: true,
            reply: { topic: 'replies', partition: 0, offset: '7' },
          },
        ],
      },
    ]);
  });

  it('says of a late result that its bytes are not kept, and not that there were none', async () => {
    const operation = anOperation();
    const administration = new FakeAdministration([operation]);
    // As the store gives them: the bytes of the first are kept and are none, those of the second are gone.
    const result = { value: null, contentType: 'application/json', httpStatus: 201, headers: [] };
    administration.events = [
      anEvent(1, { type: 'succeeded', result }),
      anEvent(2, { type: 'succeeded', result }, true),
    ];
    const base = await start(administration);
    for (const full of ['', '?full=1']) {
      const [, history] = await read(`${base}/operations/${operation.id}/events${full}`);
      const [first, late] = (history as { events: { result: object }[] }).events;
      expect(first?.result).toMatchObject({ sizeBytes: 0 });
      expect(late?.result).toEqual({ contentType: 'application/json', kept: false, httpStatus: 201 });
    }
  });

  it('cancels and sends again, and says as a problem why it does not', async () => {
    const [open, done] = [anOperation(), aSucceeded('{}')];
    const base = await start(new FakeAdministration([open, done]));
    expect(await (await post(`${base}/operations/${open.id}:cancel`)).json()).toMatchObject({ state: 'cancelled' });
    expect(await (await post(`${base}/operations/${done.id}:cancel`)).json()).toMatchObject({ state: 'succeeded' });
    expect(await (await post(`${base}/operations/${open.id}:redrive`)).json()).toMatchObject({ attempt: 2 });
    const refused = await post(`${base}/operations/${done.id}:redrive`);
    expect([refused.status, refused.headers.get('content-type')]).toEqual([409, 'application/problem+json']);
    const problem = await refused.json();
    expect(problem).toMatchObject({ code: 'OPERATION_DONE' });
    // Of a request of an operator it would say something about a command that is none.
    expect(problem).not.toHaveProperty('delivery');
    expect((await fetch(`${base}/operations/nothing`)).status).toBe(404);
  });

  it('answers 404 for other paths and 405 with Allow for other methods', async () => {
    const operation = anOperation();
    const base = await start(new FakeAdministration([operation]));
    expect((await fetch(`${base}/operations/${operation.id}/result`)).status).toBe(404);
    const got = await fetch(`${base}/operations/${operation.id}:cancel`);
    expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST']);
    const deleted = await fetch(`${base}/operations/${operation.id}`, { method: 'DELETE' });
    expect([deleted.status, deleted.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    const head = await fetch(`${base}/operations`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  it('tells an operator what the trouble of the store is, which callers are not told', async () => {
    const administration = new FakeAdministration();
    const cause = new Error('permission denied for table operation. GRANT SELECT …');
    administration.report = () => Promise.reject(new Failure('STORE_UNAVAILABLE', 'it does not answer', { cause }));
    const refused = await post(`${await start(administration)}/operations:rebuild`);
    expect([refused.status, await refused.json()]).toMatchObject([
      503,
      { code: 'STORE_UNAVAILABLE', detail: `it does not answer: ${cause.message}` },
    ]);
  });

  it('answers 500 where something else is thrown, and goes on', async () => {
    const administration = new FakeAdministration([anOperation()]);
    administration.report = () => Promise.reject(new Error('a defect'));
    const base = await start(administration);
    expect((await post(`${base}/operations:rebuild`)).status).toBe(500);
    expect((await fetch(`${base}/operations`)).status).toBe(200);
  });
});

describe('a rebuild', () => {
  it('reports differences, whatever their values are', async () => {
    const administration = new FakeAdministration();
    const difference = {
      operationId: 'x',
      field: 'result',
      row: { value: Uint8Array.of(1), at: 5n },
      rebuilt: undefined,
    };
    administration.report = async () => ({ operations: 1, events: 2, differences: [difference] });
    const base = await start(administration);
    expect(await (await post(`${base}/operations:rebuild?id=x`)).json()).toEqual({
      operations: 1,
      events: 2,
      differences: [
        {
          operationId: 'x',
          field: 'result',
          row: {
            value: { sizeBytes: 1, sha256: '4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a' },
            at: '5',
          },
          rebuilt: null,
        },
      ],
    });
    expect(administration.asked).toEqual([['rebuild', 'x']]);
  });

  it('says while it runs how many operations it has compared, and nothing once it is over', async () => {
    const administration = new FakeAdministration();
    const ended = Promise.withResolvers<typeof NO_DIFFERENCES>();
    administration.report = (_, onCompared) => {
      onCompared(41_000);
      return ended.promise;
    };
    const base = await start(administration);
    const idle = [200, { running: false, compared: 0 }];
    expect(await read(`${base}/operations:rebuild`)).toEqual(idle);
    const rebuilt = post(`${base}/operations:rebuild`);
    await expect.poll(() => administration.asked.length).toBe(1);
    expect(await read(`${base}/operations:rebuild`)).toEqual([200, { running: true, compared: 41_000 }]);
    ended.resolve(NO_DIFFERENCES);
    expect((await rebuilt).status).toBe(200);
    expect(await read(`${base}/operations:rebuild`)).toEqual(idle);
  });

  it('ends when nobody waits for it, and only one runs at a time', async () => {
    const administration = new FakeAdministration();
    let ended = 0;
    administration.report = (signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          ended += 1;
          resolve(NO_DIFFERENCES);
        });
      });
    const base = await start(administration);
    const leaving = new AbortController();
    const first = fetch(`${base}/operations:rebuild`, { method: 'POST', headers: JSON_TYPE, signal: leaving.signal });
    await expect.poll(() => administration.asked.length).toBe(1);
    expect(await (await post(`${base}/operations:rebuild`)).json()).toMatchObject({ code: 'OVERLOADED' });
    leaving.abort();
    await expect(first).rejects.toThrow();
    await expect.poll(() => ended).toBe(1);
    administration.report = async () => NO_DIFFERENCES;
    expect((await post(`${base}/operations:rebuild`)).status).toBe(200);
  });
});

describe('a web page in the browser of an operator', () => {
  it('changes nothing: a form cannot say JSON, and a script says where it comes from', async () => {
    const operation = anOperation();
    const administration = new FakeAdministration([operation]);
    const base = await start(administration);
    const cancel = `${base}/operations/${operation.id}:cancel`;
    const statuses = [
      await post(cancel, {}),
      await post(cancel, { 'content-type': 'application/x-www-form-urlencoded' }, 'a=b'),
      await post(cancel, { 'content-type': 'text/plain' }, '{}'),
      await post(cancel, { ...JSON_TYPE, origin: 'https://evil.example' }),
      await post(cancel, { ...JSON_TYPE, origin: 'null' }),
      await fetch(cancel, { method: 'OPTIONS', headers: { origin: 'https://evil.example' } }),
    ].map(({ status }) => status);
    expect(statuses).toEqual([415, 415, 415, 403, 403, 403]);
    expect(administration.asked).toEqual([]);
  });

  it('reads nothing by a name of its own that points at this machine', async () => {
    const administration = new FakeAdministration([anOperation()]);
    const base = await start(administration);
    const statuses = [];
    for (const host of ['evil.example:8081', '10.0.0.1', 'localhost:8081', '127.0.0.9', '[::1]:8081']) {
      statuses.push(await statusFor(`${base}/operations`, host));
    }
    expect(statuses).toEqual([403, 403, 200, 200, 200]);
    expect(administration.asked).toHaveLength(3);
    // What looks after the process asks by whatever name it knows.
    expect(await statusFor(`${base}/health/live`, 'gateway-1:8081')).toBe(200);
  });
});

function statusFor(url: string, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { headers: { host }, agent: false }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode));
    });
    asked.once('error', reject).end();
  });
}

describe('bodies', () => {
  it('are not read: a small one is let pass, a long one or one without a length refused', async () => {
    const operation = anOperation();
    const base = await start(new FakeAdministration([operation]));
    const cancel = `${base}/operations/${operation.id}:cancel`;
    expect((await post(cancel, JSON_TYPE, '{}')).status).toBe(200);
    const long = await post(cancel, JSON_TYPE, JSON.stringify('x'.repeat(2000)));
    expect([long.status, long.headers.get('connection')]).toEqual([413, 'close']);
    const stream = new Blob(['{}']).stream();
    const chunked = await fetch(cancel, { method: 'POST', headers: JSON_TYPE, body: stream, duplex: 'half' });
    expect(chunked.status).toBe(413);
  });
});

describe('a management port that others can reach', () => {
  it('serves health and no operations, and says how to change that', async () => {
    const administration = new FakeAdministration([anOperation()]);
    const base = await start(administration, { host: '0.0.0.0' });
    expect((await fetch(`${base}/health/live`)).status).toBe(200);
    const response = await fetch(`${base}/operations`);
    expect(response.status).toBe(404);
    expect(((await response.json()) as { detail: string }).detail).toContain('MANAGEMENT_OPERATIONS=true');
    expect((await post(`${base}/operations:rebuild`)).status).toBe(404);
    expect(administration.asked).toEqual([]);
  });

  it('serves them where the config says so, and then by any name', async () => {
    const base = await start(new FakeAdministration([anOperation()]), { host: '0.0.0.0', operations: 'true' });
    expect(await statusFor(`${base}/operations`, 'gateway-1:8081')).toBe(200);
    const response = await fetch(`${base}/operations`, { headers: { origin: 'https://evil.example' } });
    expect(response.status).toBe(403);
  });

  it('serves none on loopback either where the config says no', async () => {
    const base = await start(new FakeAdministration([anOperation()]), { operations: 'false' });
    expect((await fetch(`${base}/operations`)).status).toBe(404);
  });

  it('has no such routes where there is nothing to administer', async () => {
    const base = await start(null);
    expect((await fetch(`${base}/operations`)).status).toBe(404);
  });
});
