import { afterAll, beforeAll, expect, it } from 'vitest';
import { Doors } from '../support/doors.ts';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';

describeOnBothStacks('the list of operations', (stack) => {
  const doors = new Doors();
  const done: string[] = [];
  const open: string[] = [];
  let sluice: TestGateway;

  beforeAll(async () => {
    sluice = await startTestGateway({
      stack,
      handlers: {
        Do: async ({ key }) => {
          if (key) await doors.pass(key);
          return {};
        },
        Make: () => ({ text: 'made' }),
      },
    });
    const ask = async (path: string, body: object) =>
      (await sluice.rest.post(path, body, { prefer: 'respond-async' })).body.id as string;
    for (let index = 0; index < 5; index++) done.push(await ask('/v1/make', {}));
    for (const id of done) await sluice.rest.follow(id);
    for (let index = 0; index < 3; index++) open.push(await ask('/v1/do', { key: 'open' }));
  });
  afterAll(async () => {
    doors.openAll();
    await sluice.close();
  });

  const idsOf = (operations: { id: string }[]) => operations.map(({ id }) => id);

  it('shows all, the newest first, each as its own status document', async () => {
    const { status, body } = await sluice.rest.get('/operations');
    expect(status).toBe(200);
    expect(idsOf(body.operations)).toEqual([...done, ...open].reverse());
    expect(body.nextPageToken).toBe('');
    const last = body.operations.at(-1);
    expect(last).toMatchObject({ state: 'succeeded', result: { text: 'made' } });
    expect((await sluice.rest.get(`/operations/${last.id}`)).body).toEqual(last);
  });

  it('goes page by page through each once', async () => {
    const seen: string[] = [];
    let token = '';
    do {
      const { body } = await sluice.rest.get(`/operations?page_size=3&page_token=${encodeURIComponent(token)}`);
      expect(body.operations.length).toBeLessThanOrEqual(3);
      seen.push(...idsOf(body.operations));
      token = body.nextPageToken;
    } while (token !== '');
    expect(seen).toEqual([...done, ...open].reverse());
  });

  it('filters by command and by state', async () => {
    const made = await sluice.rest.get('/operations?command=calls.v1.Calls/Make');
    expect(idsOf(made.body.operations)).toEqual([...done].reverse());
    const succeeded = await sluice.rest.get('/operations?state=succeeded&command=calls.v1.Calls%2FDo');
    expect(succeeded.body.operations).toEqual([]);
    const both = await sluice.rest.get('/operations?state=succeeded');
    expect(idsOf(both.body.operations)).toEqual([...done].reverse());
  });

  it('refuses a token that it did not give, or gave for other filters', async () => {
    const { body } = await sluice.rest.get('/operations?page_size=1');
    const token = encodeURIComponent(body.nextPageToken);
    for (const query of ['page_token=nonsense', `page_token=${token}&state=succeeded`, `page_token=${token}x%00`]) {
      const refused = await sluice.rest.get(`/operations?${query}`);
      expect(refused.status, query).toBe(400);
      expect(refused.body.errors[0].parameter).toBe('page_token');
    }
  });

  it.each([
    ['state=finished', 'state'],
    ['page_size=-1', 'page_size'],
    ['page_size=many', 'page_size'],
    ['color=red', 'color'],
    ['command=%FF', 'command'],
  ])('refuses %s and names the parameter', async (query, parameter) => {
    const refused = await sluice.rest.get(`/operations?${query}`);
    expect(refused.status).toBe(400);
    expect(refused.body.errors).toEqual([expect.objectContaining({ parameter })]);
  });

  it('is the same over gRPC', async () => {
    const list = (request: object) => sluice.grpc.call('google.longrunning.Operations/ListOperations', request);
    const first = await list({ name: 'operations', pageSize: 5 });
    expect(first.code, first.message).toBe('OK');
    const second = await list({ name: 'operations', pageSize: 5, pageToken: first.value.nextPageToken });
    expect(second.value.nextPageToken ?? '').toBe('');
    const names = [...first.value.operations, ...second.value.operations].map(({ name }: { name: string }) => name);
    expect(names).toEqual([...done, ...open].reverse().map((id) => `operations/${id}`));
    const filtered = await list({ filter: 'command = "calls.v1.Calls/Make" AND state = SUCCEEDED' });
    expect(filtered.value.operations).toHaveLength(done.length);
    const refused = await list({ filter: 'state = SUCCEEDED', pageToken: first.value.nextPageToken });
    expect(refused.code).toBe('INVALID_ARGUMENT');
    expect(refused.details?.info?.reason).toBe('PAGE_TOKEN_INVALID');
  });
});

describeOnBothStacks('a list of large results', (stack) => {
  const KIB = 1024;
  const COUNT = 8;
  const ids: string[] = [];
  let sluice: TestGateway;

  beforeAll(async () => {
    sluice = await startTestGateway({
      stack,
      config: { grpc: { maxResultBytes: 64 * KIB } },
      handlers: { Make: ({ text }) => ({ text: text.repeat(20 * KIB) }) },
    });
    for (let index = 0; index < COUNT; index++) {
      const answer = await sluice.rest.post('/v1/make', { text: String(index) }, { prefer: 'respond-async' });
      ids.unshift(answer.body.id);
      await sluice.rest.follow(answer.body.id);
    }
  });
  afterAll(() => sluice?.close());

  /** The ids of each page that is asked for with room for all of them. */
  const readPages = async (read: (token: string) => Promise<{ ids: string[]; token: string }>) => {
    const pages: string[][] = [];
    for (let token = ''; ; ) {
      const page = await read(token);
      pages.push(page.ids);
      if (page.token === '') return pages;
      token = page.token;
    }
  };

  it.each(['rest', 'management'] as const)('has pages that are not full, and loses none (%s)', async (port) => {
    const pages = await readPages(async (token) => {
      const { status, body } = await sluice[port].get(`/operations?page_size=1000&page_token=${token}`);
      expect(status).toBe(200);
      return { ids: body.operations.map(({ id }: { id: string }) => id), token: body.nextPageToken };
    });
    expect(pages.flat()).toEqual(ids);
    expect(pages.map(({ length }) => length)).toEqual([3, 3, 2]);
  });

  it('fits into messages over gRPC', async () => {
    const pages = await readPages(async (pageToken) => {
      const request = { name: 'operations', pageSize: 1000, pageToken };
      const answer = await sluice.grpc.call('google.longrunning.Operations/ListOperations', request);
      expect(answer.code, answer.message).toBe('OK');
      const names = answer.value.operations.map(({ name }: { name: string }) => name.replace('operations/', ''));
      return { ids: names, token: answer.value.nextPageToken ?? '' };
    });
    expect(pages.flat()).toEqual(ids);
  });
});
