// The embedded stack only: its log dies with its process, its database does not.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CALLS_CONTRACT, QUICK, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { RestCaller } from '../support/rest-caller.ts';
import { type SupervisedProcess, startSupervised } from '../support/supervised-process.ts';
import { findFreePorts, waitUntil } from '../support/wait.ts';

const MAIN = fileURLToPath(new URL('../support/embedded-gateway.ts', import.meta.url));
const NAMESPACE = 'restart';
const ASYNC = { prefer: 'respond-async' };
const SOON = { timeout: 60_000 };
const timeout = 120_000;
const POLICIES = { Keep: { idempotent: true, redeliver_after: '30s', max_attempts: 2, timeout: '1h' } };

interface Running {
  readonly rest: RestCaller;
  readonly process: SupervisedProcess;
}

async function startProcess(folder: string): Promise<Running> {
  const [http, grpc, management] = await findFreePorts(3);
  const methods = Object.fromEntries(Object.entries(POLICIES).map(([name, each]) => [`calls.v1.Calls/${name}`, each]));
  // JSON is YAML.
  const config = {
    contract: { sources: [CALLS_CONTRACT], policies: { methods } },
    http: { port: http },
    grpc: { port: grpc },
    management: { port: management },
    kafka: { namespace: NAMESPACE },
    store: { data_dir: join(folder, 'data') },
  };
  const file = join(folder, 'sluice.yaml');
  await writeFile(file, JSON.stringify(config));
  const child = await startSupervised({
    command: [process.execPath, MAIN],
    logFile: join(folder, 'gateway.log'),
    env: { ...process.env, NODE_OPTIONS: '', SLUICE_CONFIG: file },
  });
  const check = () => {
    if (!child.isAlive()) throw new Error(`the gateway ended:\n${child.readLogTail()}`);
  };
  await waitUntil({ what: 'gateway ready', timeoutMs: 60_000, check }, async () => {
    return (await fetch(`http://127.0.0.1:${management}/health/ready`)).ok;
  });
  return { rest: new RestCaller(`http://127.0.0.1:${http}`), process: child };
}

describe('a gateway on the embedded store that is killed', () => {
  let folder: string;
  let killed: Running;
  let opened: TestGateway | null = null;
  /** By key of the request, as the second process sees them: attempts. */
  const seen = new Map<string, number[]>();
  const ids = new Map<string, string>();

  const open = () =>
    startTestGateway({
      stack: 'embedded',
      place: { stack: 'embedded', namespace: NAMESPACE, databaseUrl: null },
      config: { ...QUICK, store: { dataDir: join(folder, 'data') } },
      policies: POLICIES,
    });
  const answer = ({ key }: { key: string }, { attempt }: { attempt: number }) => {
    seen.set(key, [...(seen.get(key) ?? []), attempt]);
    return { text: `${key} answered` };
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-restart-'));
    killed = await startProcess(folder);
  }, timeout);
  afterAll(async () => {
    await killed?.process.end();
    await opened?.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  const call = async (path: string, key: string) => {
    const response = await killed.rest.post(path, { key }, ASYNC);
    expect(response.status, response.text).toBe(202);
    ids.set(key, response.body.id);
  };
  const follow = async (key: string) => (await opened!.rest.follow(ids.get(key)!)).body;

  it('has operations in flight', { timeout }, async () => {
    for (const number of [1, 2, 3]) {
      await call('/v1/keep', `idempotent ${number}`);
      await call('/v1/do', `single ${number}`);
    }
    await call('/v1/tell-kept', 'told');
    expect((await killed.rest.follow(ids.get('told')!)).body).toMatchObject({ state: 'succeeded' });
    for (const [key, id] of ids) {
      if (key === 'told') continue;
      const state = async () => (await killed.rest.get(`/operations/${id}`)).body.state;
      await expect.poll(state, { ...SOON, interval: 100 }).toBe('running');
    }
  });

  it('keeps its folder to itself until then', { timeout }, async () => {
    await expect(open()).rejects.toThrow(/in use by another process/);
    expect((await killed.rest.get(`/operations/${ids.get('told')}`)).status).toBe(200);
  });

  it('has promised nothing that is forgotten when it is opened again', { timeout }, async () => {
    await killed.process.end('SIGKILL');
    opened = await open();
    for (const id of ids.values()) expect((await opened.rest.get(`/operations/${id}`)).status).toBe(200);
    expect(await follow('told')).toMatchObject({ state: 'succeeded' });
  });

  it('finishes what may be run twice', { timeout }, async () => {
    await opened!.startWorker({ Keep: answer, Do: answer });
    for (const number of [1, 2, 3]) {
      const key = `idempotent ${number}`;
      const result = { text: `${key} answered` };
      expect(await follow(key)).toMatchObject({ state: 'succeeded', attempt: 2, result });
      expect(seen.get(key)).toEqual([2]);
    }
  });

  it('says of what may not that its fate is unknown, and does not run it', { timeout }, async () => {
    for (const number of [1, 2, 3]) {
      const error = { delivery: 'unknown' };
      expect(await follow(`single ${number}`)).toMatchObject({ state: 'failed', done: true, error });
    }
    // What is made now comes behind all that could still come.
    const next = await opened!.rest.post('/v1/do', { key: 'next' });
    expect(next.status, next.text).toBe(200);
    expect([...seen.keys()].filter((key) => key.startsWith('single'))).toEqual([]);
  });
});
