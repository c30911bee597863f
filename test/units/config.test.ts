import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { settings } from '../../src/config/tree.ts';
import { ConfigProblems, describeConfig, loadConfig, makeConfig, overrideConfig } from '../../src/config.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-config-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;

function load(yaml: string, environment: Record<string, string> = {}) {
  const file = join(folder, `${++files}.yaml`);
  writeFileSync(file, yaml);
  return loadConfig({ environment: { SLUICE_CONTRACT: 'protos', SLUICE_CONFIG: file, ...environment }, folder });
}

/** Problems with the folder taken out of their text. */
function problemsOf(yaml: string, environment: Record<string, string> = {}): string[] {
  try {
    load(yaml, environment);
  } catch (error) {
    if (error instanceof ConfigProblems)
      return error.problems.map((problem) => problem.replaceAll(/\/\S*\/(\d+\.yaml)/g, 'FILE'));
    throw error;
  }
  return [];
}

describe('a config', () => {
  it('needs a contract and nothing else', () => {
    const { config, warnings } = loadConfig({ environment: { SLUICE_CONTRACT: 'protos' }, folder });
    expect(config.contract.sources).toEqual([join(folder, 'protos')]);
    expect([config.http.port, config.grpc.port, config.management.port]).toEqual([8080, 50051, 8081]);
    expect(config.http.host).toBe('127.0.0.1');
    expect(config.http.maxBodyBytes).toBe(786_432);
    expect(config.kafka.brokers).toEqual([]);
    expect(config.store.databaseUrl).toBeNull();
    expect(warnings).toEqual([]);
    expect(() => loadConfig({ environment: {} })).toThrow(/contract\.sources \(SLUICE_CONTRACT\): found none/);
  });

  it('takes the environment over the file', () => {
    const { config } = load('http: {port: 9000, max_body_bytes: 1MiB}\nleases: {lease: 12s}\n', {
      HTTP_PORT: '9001',
      KAFKA_BROKERS: 'a:9092, b:9092',
      DRAIN_DELAY: '5s',
    });
    expect(config.http.port).toBe(9001);
    expect(config.http.maxBodyBytes).toBe(1_048_576);
    expect(config.leases.leaseMs).toBe(12_000);
    expect(config.drain.delayMs).toBe(5000);
    expect(config.kafka.brokers).toEqual(['a:9092', 'b:9092']);
  });

  it('counts an empty variable and an empty key as absent', () => {
    const { config } = load('http:\n  port:\ngrpc:\n', { DATABASE_URL: '', HTTP_PORT: '' });
    expect(config.http.port).toBe(8080);
    expect(config.store.databaseUrl).toBeNull();
  });

  it('reads paths of the file from its folder and paths of the environment from the current one', () => {
    const { config } = load('contract: {sources: [one, /two]}\nstore: {data_dir: data}\n', {
      SLUICE_CONTRACT: '',
      KAFKA_SSL: 'true',
      KAFKA_SSL_CA_FILE: 'ca.pem',
    });
    expect(config.contract.sources).toEqual([join(folder, 'one'), '/two']);
    expect(config.store.dataDir).toBe(join(folder, 'data'));
    expect(config.kafka.ssl.caFile).toBe(join(folder, 'ca.pem'));
  });

  it('takes its default sources only where nobody names any', () => {
    const defaultSources = ['/demo'];
    expect(loadConfig({ environment: {}, defaultSources }).config.contract.sources).toEqual(['/demo']);
    const environment = { SLUICE_CONTRACT: '/mine' };
    expect(loadConfig({ environment, defaultSources }).config.contract.sources).toEqual(['/mine']);
  });

  it('passes policies on as they are', () => {
    const { config } = load('contract:\n  policies:\n    methods:\n      a.B/C: {wait: 5s}\n');
    expect(config.contract.policies.methods).toEqual({ 'a.B/C': { wait: '5s' } });
  });

  it('is frozen to its leaves', () => {
    const config = makeConfig({ kafka: { brokers: ['a:1'] } });
    expect(() => Object.assign(config.http, { port: 1 })).toThrow(TypeError);
    expect(() => (config.kafka.brokers as string[]).push('b:1')).toThrow(TypeError);
    expect(overrideConfig(config, { http: { port: 0 } }).http.port).toBe(0);
    expect(config.http.port).toBe(8080);
  });

  it('never shows a secret', () => {
    const config = makeConfig({
      store: { databaseUrl: 'postgres://me:hush@db/name?password=hush' },
      kafka: { sasl: { mechanism: 'plain', username: 'me', password: 'hush' } },
    });
    const shown = JSON.stringify(describeConfig(config));
    expect(shown).toContain('db/name');
    expect(shown).not.toContain('hush');
    const problems = problemsOf('kafka: {sasl: {password: [hush]}}\n', { DATABASE_URL: 'mysql://me:hush@db' });
    expect(problems).toHaveLength(2);
    expect(problems.join()).not.toContain('hush');
  });
});

describe('a wrong config', () => {
  it('says everything at once', () => {
    const problems = problemsOf('http:\n  porrt: 1\n  port: 99999\nleases: {lease: 8000}\n', { GRPC_PORT: 'many' });
    expect(problems).toEqual([
      'FILE:2: http.porrt: unknown key (did you mean `port`?)',
      'FILE:3: http.port: found 99999, expected a whole number from 0 to 65535',
      'GRPC_PORT: found "many", expected a whole number from 0 to 65535',
      expect.stringContaining('FILE:4: leases.lease: found 8000, expected a duration from 2s to 5m, such as'),
    ]);
  });

  it.each([
    ['webhooks: {}', 'FILE:1: webhooks: reserved for a later version'],
    ['http: 8080', 'FILE:1: http: found 8080, expected a map with any of host, port'],
    ['- http', 'FILE:1: found ["http"], expected a map with any of contract'],
    ['http: {port: 1}\nhttp: {port: 2}', 'FILE:2: Map keys must be unique'],
    ['http: *b', 'FILE: Unresolved alias'],
    [
      'http: {host: 0.0.0.0}',
      'FILE:1: http.host: found "0.0.0.0" without auth, expected a loopback address, or `auth: none`',
    ],
    ['grpc: {host: "::"}', 'FILE:1: grpc.host: found "::" without auth'],
    ['auth: nome', 'FILE:1: auth: found "nome", expected one of none'],
    ['http: {port: 7000}\ngrpc: {port: 7000}', 'FILE:2: grpc.port: found 7000, which http.port has too'],
    ['http: {base_path: api/}', 'FILE:1: http.base_path: found "api/", expected a path such as /api'],
    ['http: {public_url: "ftp://x"}', 'FILE:1: http.public_url: found "ftp://x", expected an http or https URL'],
    [
      'http: {trusted_proxies: [10.0.0.0/33]}',
      'FILE:1: http.trusted_proxies: found "10.0.0.0/33", expected an address',
    ],
    ['http: {max_body_bytes: 1MB}', 'FILE:1: http.max_body_bytes: found "1MB", expected a size from 1KiB to 64MiB'],
    ['kafka: {brokers: [kafka]}', 'FILE:1: kafka.brokers: found ["kafka"], expected addresses of brokers as host:port'],
    ['kafka: {brokers: ["kafka:99999"]}', 'FILE:1: kafka.brokers: found "kafka:99999", expected a port up to 65535'],
    [
      'kafka: {sasl: {mechanism: plain, username: a}}',
      'kafka.sasl.password (KAFKA_SASL_PASSWORD): found none, expected one',
    ],
    [
      'kafka: {ssl: {enabled: true, cert_file: a}}',
      'kafka.ssl.key_file (KAFKA_SSL_KEY_FILE): found none, expected certificate',
    ],
    ['kafka: {ssl: {ca_file: a}}', 'kafka.ssl.enabled (KAFKA_SSL): found false beside files for TLS'],
    ['leases: {heartbeat: 4s}', 'FILE:1: leases.heartbeat: found 4000 ms, expected at most a third of leases.lease'],
    [
      'store: {idle_in_transaction_timeout: 8s}',
      'FILE:1: store.idle_in_transaction_timeout: found 8000 ms, expected less than leases.lease (8000 ms)',
    ],
    [
      'leases: {lease: 3s, heartbeat: 1s}\nstore: {idle_in_transaction_timeout: 3s}',
      'FILE:2: store.idle_in_transaction_timeout: found 3000 ms, expected less than leases.lease (3000 ms)',
    ],
    ['operations: {retention: 1h}', 'FILE:1: operations.retention: found "1h", expected a duration from 24h'],
    ['log: {level: loud}', 'FILE:1: log.level: found "loud", expected one of debug, info, warn, error, silent'],
  ])('%j is told: %s', (yaml, expected) => {
    const problems = problemsOf(yaml);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(expected);
  });

  it('a shorter lease alone shortens what a transaction may stand still, and a longer one leaves it', () => {
    const idleMs = (yaml: string) => load(yaml).config.store.idleInTransactionTimeoutMs;
    expect(idleMs('leases: {lease: 2500ms, heartbeat: 500ms}')).toBe(1250);
    expect(idleMs('leases: {lease: 1m}')).toBe(4000);
    expect(idleMs('leases: {lease: 2500ms, heartbeat: 500ms}\nstore: {idle_in_transaction_timeout: 2s}')).toBe(2000);
  });

  it('names a file that cannot be read', () => {
    const environment = { SLUICE_CONFIG: join(folder, 'absent.yaml') };
    expect(() => loadConfig({ environment })).toThrow(/absent\.yaml \(SLUICE_CONFIG\): ENOENT/);
  });

  it('survives a bomb of aliases', () => {
    const levels = Array.from(
      { length: 9 },
      (_, level) => `a${level + 1}: &a${level + 1} [${`*a${level},`.repeat(9)}]`,
    );
    const problems = problemsOf(`a0: &a0 [x]\n${levels.join('\n')}\ncontract: {policies: {defaults: {x: *a9}}}\n`);
    expect(problems.join()).toContain('alias');
  });

  it('warns of variables that look like ours, and of no others', () => {
    const { warnings } = load('', {
      KAFKA_BROKER: 'a:1',
      HTTP_PROXY: 'http://proxy',
      GRPC_TRACE: 'all',
      KAFKA_SERVICE_HOST: '10.0.0.1',
      KAFKA_PORT_9092_TCP: 'tcp://10.0.0.1:9092',
      PATH: '/bin',
    });
    expect(warnings).toEqual(['KAFKA_BROKER: no such variable (did you mean KAFKA_BROKERS?); it is ignored']);
  });

  it('lets every setting be given by one variable of its own', () => {
    const names = settings.flatMap((setting) => setting.env ?? []);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toEqual(
      expect.arrayContaining([
        'HTTP_PORT',
        'GRPC_PORT',
        'MANAGEMENT_PORT',
        'KAFKA_BROKERS',
        'KAFKA_NAMESPACE',
        'DATABASE_URL',
        'DATA_DIR',
        'PUBLIC_URL',
        'BASE_PATH',
        'DRAIN_DELAY',
        'TRUSTED_PROXIES',
      ]),
    );
  });
});
