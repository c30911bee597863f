import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { readOperationsCall, WrongCall } from '../../src/cli/operations-arguments.ts';
import { openDesk } from '../../src/cli/operations-desk.ts';
import { renderRedriven } from '../../src/cli/operations-tables.ts';
import type { Config } from '../../src/config.ts';
import { createManagementServer, type ManagementServer } from '../../src/edge/management.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { lockFolder } from '../../src/store/folder-lock.ts';
import { anOperation } from '../support/operations.ts';
import { anEvent, aSucceeded, FakeAdministration } from './management-support.ts';

// Each run is a process that starts Node.
vi.setConfig({ testTimeout: 60_000 });

const MAIN = join(import.meta.dirname, '../../bin/sluice.js');
const folder = mkdtempSync(join(tmpdir(), 'sluice-operations-'));
afterAll(() => rmSync(folder, { recursive: true }));

const servers: ManagementServer[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function startGateway(administration: FakeAdministration): Promise<number> {
  const readiness = () => ({ ready: true, reasons: [], degraded: [] });
  const sources = { readiness, metrics: createMetrics(), administration };
  const server = createManagementServer({ host: '127.0.0.1', port: 0 }, sources);
  servers.push(server);
  return (await server.listen()).port;
}

/** A port where nobody listens. */
async function findFreePort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return String(port);
}

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `sluice operations …` in a process of its own, with no environment but this one. */
function run(args: string[], environment: Record<string, string> = {}): Promise<Ended> {
  const env = { PATH: process.env['PATH'] ?? '', ...environment };
  return promisify(execFile)(process.execPath, [MAIN, 'operations', ...args], { env, cwd: folder }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: Ended) => ({ code: error.code, stdout: error.stdout, stderr: error.stderr }),
  );
}

describe('sluice operations, while a gateway runs', () => {
  it('asks it where the config puts its management port, and shows a table', async () => {
    const [first, second] = [anOperation(), anOperation({ principal: 'bob\u001b[2J', state: 'running' })];
    const port = await startGateway(new FakeAdministration([first, second]));
    const { code, stdout, stderr } = await run(['list'], { MANAGEMENT_PORT: String(port) });
    expect([code, stderr]).toEqual([0, '']);
    const rows = stdout.split('\n').map((line) => line.split(/ {2,}/).slice(0, 5));
    expect(rows).toEqual([
      ['ID', 'STATE', 'ATTEMPT', 'COMMAND', 'PRINCIPAL'],
      [first.id, 'accepted', '1', 'test.v1.Test/Do', '-'],
      // What a caller is called must not command the terminal.
      [second.id, 'running', '1', 'test.v1.Test/Do', 'bob?[2J'],
      [''],
    ]);
  });

  it('pages through up to the limit, and says how to go on', async () => {
    const administration = new FakeAdministration(Array.from({ length: 1500 }, () => anOperation()));
    const management = `http://127.0.0.1:${await startGateway(administration)}`;
    const listed = await run(['list', '--limit', '1200', '--state', 'accepted', '--management', management]);
    expect(listed.code).toBe(0);
    expect(listed.stdout.trim().split('\n')).toHaveLength(1201);
    expect(listed.stderr).toContain('--page-token 1200');
    const rest = await run(['list', '--limit', '5000', '--page-token', '1200', '--json', '--management', management]);
    const document = JSON.parse(rest.stdout) as { operations: object[]; nextPageToken: string };
    expect([document.operations.length, document.nextPageToken]).toEqual([300, '']);
    const filters = { principal: null, command: null };
    expect(administration.asked).toEqual([
      ['list', { ...filters, state: 'accepted', pageSize: 1000, pageToken: null }],
      ['list', { ...filters, state: 'accepted', pageSize: 200, pageToken: '1000' }],
      ['list', { ...filters, state: null, pageSize: 1000, pageToken: '1200' }],
    ]);
  });

  it('shows the whole history, however many parts it comes in', async () => {
    const operation = aSucceeded('{}');
    const administration = new FakeAdministration([operation]);
    administration.events = [1, 2, 3, 4, 5].map((number) => anEvent(number));
    const management = `http://127.0.0.1:${await startGateway(administration)}`;
    const { code, stdout } = await run(['events', operation.id, '--after', '1', '--management', management]);
    expect(code).toBe(0);
    const numbers = stdout.trim().split('\n').slice(1);
    expect(numbers.map((line) => line.split(' ')[0])).toEqual(['2', '3', '4', '5']);
  });

  it('says in the history that the payload of a late result was not kept', async () => {
    const operation = aSucceeded('{}');
    const administration = new FakeAdministration([operation]);
    const result = { value: null, contentType: 'application/json', httpStatus: null, headers: [] };
    administration.events = [anEvent(4, { type: 'succeeded', result }, true)];
    const management = `http://127.0.0.1:${await startGateway(administration)}`;
    const { stdout } = await run(['events', operation.id, '--management', management]);
    expect(stdout).toContain('succeeded (late)');
    expect(stdout).toContain('(payload not kept)');
    expect(stdout).not.toContain('sizeBytes');
  });

  it('says which came first, the cancellation or the result', async () => {
    const [open, done] = [anOperation(), aSucceeded('{}')];
    const port = await startGateway(new FakeAdministration([open, done]));
    const environment = { MANAGEMENT_PORT: String(port) };
    expect(await run(['cancel', open.id], environment)).toMatchObject({
      code: 0,
      stdout: `${open.id} is cancelled.\n`,
    });
    const late = await run(['cancel', done.id], environment);
    expect(late).toMatchObject({ code: 0, stdout: `${done.id} is succeeded already, and that stands.\n` });
  });

  it('ends with 1 and the reason where the gateway refuses', async () => {
    const done = aSucceeded('{}');
    const port = await startGateway(new FakeAdministration([done]));
    expect(await run(['redrive', done.id], { MANAGEMENT_PORT: String(port) })).toEqual({
      code: 1,
      stdout: '',
      stderr: `error: operation ${done.id} is done (OPERATION_DONE)\n`,
    });
  });

  it('ends a rebuild with 1 where it finds differences, and with 0 where there are none', async () => {
    const administration = new FakeAdministration();
    const environment = { MANAGEMENT_PORT: String(await startGateway(administration)) };
    const good = await run(['rebuild'], environment);
    expect(good).toMatchObject({ code: 0, stdout: expect.stringContaining('2 operations, 5 events') });
    const difference = { operationId: 'x', field: 'state', row: 'running', rebuilt: 'failed' };
    administration.report = async () => ({ operations: 1, events: 2, differences: [difference] });
    const bad = await run(['rebuild'], environment);
    expect([bad.code, bad.stdout]).toEqual([1, expect.stringMatching(/x +state +running +failed/)]);
  });
});

describe('sluice operations, where no gateway runs', () => {
  it('does not look elsewhere when it was told where to ask', async () => {
    const management = `http://127.0.0.1:${await findFreePort()}`;
    expect(await run(['list', '--management', management])).toEqual({
      code: 1,
      stdout: '',
      stderr: `error: nobody listens at ${management}\n`,
    });
  });

  it('opens the store itself, and closes it', async () => {
    const { config, desk, closed } = await openOnStore(['list']);
    expect(config?.store.dataDir).toBe(folder);
    expect(await desk.ask('GET', '/operations')).toMatchObject({ operations: [{ state: 'accepted' }] });
    await expect(desk.ask('GET', '/operations/x')).rejects.toThrow('there is no operation x (OPERATION_NOT_FOUND)');
    expect(closed()).toBe(false);
    await desk.close();
    expect(closed()).toBe(true);
  });

  it('sends nothing again on the embedded store, where nobody would publish it', async () => {
    const { desk, administration } = await openOnStore(['redrive', 'x']);
    const { id } = administration.operations[0]!;
    await expect(desk.ask('POST', `/operations/${id}:redrive`)).rejects.toThrow('no gateway runs');
    await desk.close();
  });

  it.each(['postgres://db/sluice', ''])(
    'promises nothing of an operation that is done (DATABASE_URL=%s)',
    async (url) => {
      vi.stubEnv('DATABASE_URL', url);
      const done = aSucceeded('{}');
      const { desk, told } = await openOnStore(['redrive', done.id], [done]);
      await expect(desk.ask('POST', `/operations/${done.id}:redrive`)).rejects.toThrow(
        `operation ${done.id} is done (OPERATION_DONE)`,
      );
      await expect(desk.ask('POST', '/operations/x:redrive')).rejects.toThrow('there is no operation x');
      await desk.close();
      expect(told).not.toMatch(/sent/);
    },
  );

  it('marks for sending on PostgreSQL, and says so: nothing has been sent', async () => {
    vi.stubEnv('DATABASE_URL', 'postgres://db/sluice');
    const { desk, administration } = await openOnStore(['redrive', 'x']);
    expect(desk.sendsAtOnce).toBe(false);
    const redriven = await desk.ask('POST', `/operations/${administration.operations[0]?.id}:redrive`);
    expect(renderRedriven(redriven, desk.sendsAtOnce)).toMatch(/is due to be sent again: attempt 2/);
    await desk.close();
  });

  it('makes no store where there is none', async () => {
    const environment = { MANAGEMENT_PORT: '0', DATA_DIR: join(folder, 'mistaken') };
    expect(await run(['list'], environment)).toMatchObject({ code: 1, stderr: expect.stringContaining('mistaken') });
  });

  it('never opens a folder that another process has, and says so', async () => {
    const dataDir = join(folder, 'held');
    mkdirSync(dataDir);
    const unlock = lockFolder(join(dataDir, 'postgres'));
    const environment = { MANAGEMENT_PORT: await findFreePort(), DATA_DIR: dataDir };
    const { code, stdout, stderr } = await run(['list'], environment);
    unlock();
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain('in use by another process');
    expect(stderr).toContain('--management');
  });

  /** In this process, with a store that is none. */
  async function openOnStore(args: string[], operations = [anOperation()]) {
    vi.stubEnv('MANAGEMENT_PORT', await findFreePort());
    vi.stubEnv('DATA_DIR', folder);
    const seen: { config: Config | null; closed: boolean } = { config: null, closed: false };
    const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const administration = new FakeAdministration(operations);
    const desk = await openDesk(readOperationsCall(args)!, async (config) => {
      seen.config = config;
      const close = async () => {
        seen.closed = true;
      };
      return { administration, close };
    });
    const text = told.mock.calls.flat().join('');
    told.mockRestore();
    return { desk, administration, config: seen.config, closed: () => seen.closed, told: text };
  }
});

describe('what listens and is no gateway', () => {
  it('is not asked about operations', async () => {
    const asked: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url);
      response.end('<html>');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const call = readOperationsCall(['list', '--management', `http://127.0.0.1:${port}`])!;
    await expect(openDesk(call)).rejects.toThrow('not the management port of a gateway');
    expect(asked).toEqual(['/health/live']);
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('the words after `sluice operations`', () => {
  it('are refused where they make no call, in the process with exit code 2', async () => {
    const wrong = [
      ['lst'],
      ['get'],
      ['get', 'a', 'b'],
      ['list', 'a'],
      ['list', '--full'],
      ['get', 'a', '--state', 'failed'],
      ['list', '--limit', '0'],
      ['list', '--limit', 'many'],
      ['list', '--loud'],
      ['list', '--management', 'localhost:8081'],
      ['list', '--direct', '--management', 'http://localhost:8081'],
    ];
    for (const args of wrong) expect(() => readOperationsCall(args), args.join(' ')).toThrow(WrongCall);
    expect(await run(['cancel'])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('id is missing'),
    });
  });

  it('ask for help, or say nothing: help', async () => {
    expect(readOperationsCall([])).toBeNull();
    expect(readOperationsCall(['get', '--help'])).toBeNull();
    expect(await run(['help'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('sluice operations rebuild'),
    });
  });
});
