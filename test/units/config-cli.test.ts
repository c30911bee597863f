import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { renderBanner, renderLinesToTry } from '../../src/cli/banner.ts';
import { renderRoutes } from '../../src/cli/routes.ts';
import { makeConfig } from '../../src/config.ts';
import { loadContract } from '../../src/contract/contract.ts';
import { loadProto } from './contract-support.ts';

const ROOT = join(import.meta.dirname, '../..');
const DEMO = join(ROOT, 'examples/orders/proto');
const folder = mkdtempSync(join(tmpdir(), 'sluice-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `sluice …` in a process of its own, with no environment but this one. */
function run(args: string[], environment: Record<string, string> = {}): Promise<Ended> {
  const env = { PATH: process.env['PATH'] ?? '', ...environment };
  return promisify(execFile)(process.execPath, [join(ROOT, 'bin/sluice.js'), ...args], { env, cwd: folder }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: Ended) => ({ code: error.code, stdout: error.stdout, stderr: error.stderr }),
  );
}

describe('sluice check', () => {
  it('sums up what is good', async () => {
    const { code, stdout } = await run(['check'], { SLUICE_CONTRACT: DEMO });
    expect(code).toBe(0);
    expect(stdout).toContain('8 commands, 5 routes');
  });

  it('tells what is wrong with config and contract together and ends with 1', async () => {
    const file = join(folder, 'sluice.yaml');
    writeFileSync(
      file,
      'http: {porrt: 1}\ncontract: {policies: {methods: {orders.v1.Orders/CreateOrdr: {wait: 5s}}}}\n',
    );
    const { code, stderr } = await run(['check'], { SLUICE_CONFIG: file, SLUICE_CONTRACT: DEMO, GRPC_PORT: 'x' });
    expect(code).toBe(1);
    expect(stderr.split('\n')).toEqual([
      expect.stringContaining('sluice.yaml:1: http.porrt: unknown key (did you mean `port`?)'),
      expect.stringContaining('GRPC_PORT: found "x"'),
      expect.stringMatching(
        /contract\.policies\.methods\.orders\.v1\.Orders\/CreateOrdr: .*orders\.v1\.Orders\/CreateOrder/,
      ),
      '',
    ]);
  });
});

describe('one topic for two purposes', () => {
  const contract = `contract: {policies: {methods: {orders.v1.Orders/CreateOrder: {topic: sluice.control}}}}`;
  const shared = {
    'dead letters and control': ['kafka: {topics: {dead_letters: x, control: x}}', 'x'],
    'replies and dead letters': [
      'kafka: {brokers: ["127.0.0.1:1"], topics: {dead_letters: sluice.replies}}',
      'sluice.replies',
    ],
    'replies and control, without Kafka': ['kafka: {topics: {control: sluice.replies}}', 'sluice.replies'],
    'a command and replies, without Kafka': [
      'contract: {policies: {methods: {orders.v1.Orders/CreateOrder: {topic: sluice.replies}}}}',
      'sluice.replies',
    ],
    'a command and control': [contract, 'sluice.control'],
  } as const;

  it.each(Object.entries(shared))('is refused by check with the words of start: %s', async (_, [text, topic]) => {
    const file = join(folder, 'shared.yaml');
    writeFileSync(file, text);
    // The store is opened after the topics are looked at: where this is the error, start did not look first.
    const environment = { SLUICE_CONFIG: file, SLUICE_CONTRACT: DEMO, DATABASE_URL: 'postgres://127.0.0.1:1/x' };
    const checked = await run(['check'], environment);
    expect([checked.code, checked.stdout]).toEqual([1, '']);
    expect(checked.stderr).toMatch(new RegExp(`^error: topic ${topic}: carries .* and cannot carry .* too\n$`));
    const started = await run(['start'], { ...environment, LOG_LEVEL: 'silent' });
    expect(started).toEqual({ code: 1, stdout: '', stderr: checked.stderr });
  });
});

describe('sluice', () => {
  it('shows help without a contract, and its version', async () => {
    expect(await run(['help'])).toMatchObject({ code: 0, stdout: expect.stringContaining('sluice compile') });
    expect(await run([])).toMatchObject({ code: 0, stdout: expect.stringContaining('sluice compile') });
    expect(await run(['--version'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });

  it.each([[['strat']], [['check', 'twice']], [['check', '--loud']], [['check', '-o', 'x']]])(
    'ends with 2 for %j',
    async (args) => {
      expect(await run(args)).toMatchObject({ code: 2, stdout: '' });
    },
  );

  it('does not start without a contract', async () => {
    expect(await run(['start'])).toMatchObject({ code: 1, stderr: expect.stringContaining('SLUICE_CONTRACT') });
  });

  it('compiles a contract into a set that serves the same', async () => {
    const output = join(folder, 'demo.binpb');
    expect((await run(['compile', '-o', output], { SLUICE_CONTRACT: DEMO })).code).toBe(0);
    expect(readFileSync(output).length).toBeGreaterThan(1000);
    const [compiled, folders] = await Promise.all(
      [output, DEMO].map((source) => run(['routes'], { SLUICE_CONTRACT: source })),
    );
    expect(compiled).toEqual(folders);
  });
});

describe('sluice routes', () => {
  it('puts the route that wins above those that it wins over, and gRPC-only commands last', async () => {
    const contract = await loadProto(`
      service Things {
        rpc Rest(R) returns (R) { option (google.api.http) = { get: "/v1/{a=**}" }; }
        rpc One(R) returns (R) { option (google.api.http) = { get: "/v1/{a}" }; }
        rpc Literal(R) returns (R) { option (google.api.http) = { get: "/v1/latest" }; }
        rpc Grpc(R) returns (R);
      }
      message R { string a = 1; }
    `);
    const lines = renderRoutes(contract)
      .trim()
      .split('\n')
      .map((line) => line.split(/ {2,}/));
    expect(
      lines.slice(1).map(([number, method, path, command]) => [number, method, path, command?.split('/')[1]]),
    ).toEqual([
      ['1', 'GET', '/v1/latest', 'Literal'],
      ['2', 'GET', '/v1/{a}', 'One'],
      ['3', 'GET', '/v1/{a=**}', 'Rest'],
      ['-', '-', '-', 'Grpc'],
    ]);
  });
});

describe('the banner', () => {
  const ports = { http: 1, grpc: 2, management: 3 };

  it('gives lines to try that name the ports as bound', async () => {
    const contract = await loadContract({ sources: [DEMO] });
    const lines = renderLinesToTry({ config: makeConfig({ http: { host: '0.0.0.0' } }), contract, ports });
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/^curl -i -X POST .* -d '\{"customerId":"c1",.*\}' http:\/\/127\.0\.0\.1:1\/v1\/orders$/);
    expect(lines[1]).toContain("-H 'Prefer: respond-async'");
    expect(lines[2]).toMatch(
      /^npx buf curl --http2-prior-knowledge --protocol grpc .* http:\/\/127\.0\.0\.1:2\/orders\.v1\.Orders\/CreateOrder$/,
    );
  });

  it('quotes for the shell what a contract of others needs', async () => {
    const contract = await loadProto(`
      service Things { rpc Get(R) returns (R) { option (google.api.http) = { get: "/v1/it's/{a=b/*}" }; } }
      message R { string a = 1; int32 n = 2; }
    `);
    const [curl] = renderLinesToTry({ config: makeConfig(), contract, ports });
    expect(curl).toBe(`curl -i 'http://127.0.0.1:1/v1/it'\\''s/b/1'`);
  });

  it('never shows the password of the database', async () => {
    const config = makeConfig({ store: { databaseUrl: 'postgres://me:hush@db/x' }, kafka: { brokers: ['k:9092'] } });
    const contract = await loadContract({ sources: [DEMO] });
    const banner = renderBanner({ config, contract, ports });
    expect(banner).toContain('PostgreSQL');
    expect(banner).toContain('k:9092');
    expect(banner).not.toContain('hush');
  });
});
