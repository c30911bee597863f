import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import {
  describeOnBothStacks,
  findPlace,
  type Place,
  QUICK,
  startTestGateway,
  type TestGateway,
} from '../support/gateway.ts';

const run = promisify(execFile);
const SLUICE = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));
const ASYNC = { prefer: 'respond-async' };
const SOON = { timeout: 40_000 };
const timeout = 90_000;

describeOnBothStacks('operations that nobody has reported on', (stack) => {
  let folder: string;
  let place: Place;
  let sluice: TestGateway;
  let answered: string;
  let expired: string;
  let overdue: string;

  const start = async (wrapStore: (store: Store) => Store = (store) => store) => {
    sluice = await startTestGateway({
      stack,
      place,
      config: { ...QUICK, store: { dataDir: join(folder, 'data') } },
      policies: { Keep: { timeout: '1s' } },
      handlers: { Make: () => ({ text: 'made' }) },
      parts: { wrapStore },
    });
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-reconciliation-'));
    place = await findPlace(stack);
    await start();
  });
  afterAll(async () => {
    await sluice?.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  /** As an operator calls it, against the management port. */
  const callCli = async (...options: string[]): Promise<string> => {
    const words = ['operations', 'unreconciled', '--management', sluice.managementUrl, ...options];
    const { stdout } = await run(process.execPath, [SLUICE, ...words], { env: { ...process.env, NODE_OPTIONS: '' } });
    return stdout;
  };
  const listIds = async (): Promise<string[]> => {
    const { operations } = JSON.parse(await callCli('--json'));
    return operations.map(({ id }: { id: string }) => id);
  };

  it('are listed for operators where they expired with a fate unknown', { timeout }, async () => {
    expect(await listIds()).toEqual([]);
    answered = (await sluice.rest.post('/v1/make', {}, ASYNC)).body.id;
    expired = (await sluice.rest.post('/v1/keep', {}, ASYNC)).body.id;
    expect((await sluice.rest.follow(answered)).body).toMatchObject({ state: 'succeeded' });
    expect((await sluice.rest.follow(expired)).body).toMatchObject({ state: 'expired' });
    expect(await listIds()).toEqual([expired]);
    const table = await callCli();
    expect(table).toContain(expired);
    expect(table).toContain('calls.v1.Calls/Keep');
    expect(table).toContain('expired');
  });

  it('are listed where they wait past their deadline for proof that no reply is under way', { timeout }, async () => {
    await sluice.close();
    // The read positions of the replies never come to be known: so nothing expires.
    await start((store) => ({ ...store, readPositions: async () => new Map() }));
    overdue = (await sluice.rest.post('/v1/keep', {}, ASYNC)).body.id;
    const open = (await sluice.rest.post('/v1/do', {}, ASYNC)).body.id;
    await expect.poll(listIds, { ...SOON, interval: 500 }).toEqual([overdue, expired]);
    expect((await sluice.rest.get(`/operations/${overdue}`)).body).toMatchObject({ done: false });
    expect((await sluice.rest.get(`/operations/${open}`)).body).toMatchObject({ done: false });
    expect(await callCli('--limit', '1')).not.toContain(expired);
  });

  it('are counted by the holder of the chores', { timeout }, async () => {
    await sluice.close();
    await start((store) => ({ ...store, readPositions: async () => new Map(), restart: async () => NOTHING }));
    await expect.poll(() => sluice.readMetric('sluice_unreconciled_operations'), SOON).toBe(2);
    expect(await listIds()).toEqual([overdue, expired]);
  });

  it('are listed no more once somebody has decided', { timeout }, async () => {
    const { body } = await sluice.rest.post(`/operations/${overdue}:cancel`, {});
    expect(body).toMatchObject({ state: 'cancelled' });
    expect(await listIds()).toEqual([expired]);
  });
});

const NOTHING = { redriven: 0, failed: 0 };
