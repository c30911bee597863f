import { describe, expect, test } from 'vitest';
import type { Policy } from '../../src/contract/command.ts';
import type { LoadOptions } from '../../src/contract/contract.ts';
import { loadProto, problemsOf } from './contract-support.ts';

function load(option: string, options: Partial<LoadOptions> = {}) {
  return loadProto(
    `service S { rpc A(M) returns (M) { option (sluice.v1.command) = { ${option} }; } } message M { string a = 1; }`,
    options,
  );
}

async function policyOf(option: string, options: Partial<LoadOptions> = {}): Promise<Policy> {
  const policy = (await load(option, options)).commands.get('test.v1.S/A')?.policy;
  if (!policy) throw new Error('no such command');
  return policy;
}

const ONCE = { maxAttempts: 1, redeliverAfterMs: null };

describe('how often a command is sent', () => {
  test.each<[string, Partial<Policy>]>([
    ['', ONCE],
    ['idempotent: false', ONCE],
    ['max_attempts: 1', ONCE],
    ['idempotent: true', { maxAttempts: 5, redeliverAfterMs: 30_000 }],
    ['idempotent: true max_attempts: 100', { maxAttempts: 100, redeliverAfterMs: 30_000 }],
    ['idempotent: true max_attempts: 1', ONCE],
    ['idempotent: true redeliver_after: "59s"', { maxAttempts: 5, redeliverAfterMs: 59_000 }],
    // A default gives way to a short timeout.
    ['idempotent: true timeout: "10s"', { maxAttempts: 5, redeliverAfterMs: 5000 }],
    ['ordered: true key: "a"', { ...ONCE, ordered: true, record: 'ALWAYS' }],
    ['ordered: true key: "a" idempotent: true', { ...ONCE, ordered: true, record: 'ALWAYS' }],
    ['ordered: true key: "a" record: ALWAYS max_attempts: 1 style: NOTIFY', { ordered: true, style: 'NOTIFY' }],
    ['ordered: false', { ordered: false, record: 'AUTO' }],
    ['idempotency_key: REQUIRED', { idempotencyKey: 'REQUIRED' }],
    ['idempotency_key: OPTIONAL', { idempotencyKey: 'OPTIONAL' }],
  ])('{ %s }', async (option, expected) => {
    expect(await policyOf(option)).toMatchObject(expected);
  });

  test('the workers’ group takes the namespace, as the worker SDK gives it', async () => {
    expect((await policyOf('worker_group: "g"')).workerGroup).toBe('g');
    expect((await policyOf('worker_group: "g"', { topicNamespace: 'eu' })).workerGroup).toBe('eu.g');
  });
});

describe('said in the config', () => {
  test('by the same names, field by field over the contract', async () => {
    const methods = { 'test.v1.S/A': { redeliver_after: '2s', max_attempts: 3, idempotency_key: 'REQUIRED' } };
    expect(await policyOf('idempotent: true max_attempts: 7', { policies: { methods } })).toMatchObject({
      maxAttempts: 3,
      redeliverAfterMs: 2000,
      idempotencyKey: 'REQUIRED',
    });
  });

  test('a default that does not fit a command gives way', async () => {
    const defaults = { max_attempts: 3, redeliver_after: '2m', record: 'AUTO' };
    expect(await policyOf('', { policies: { defaults } })).toMatchObject(ONCE);
    expect(await policyOf('idempotent: true', { policies: { defaults } })).toMatchObject({
      maxAttempts: 3,
      redeliverAfterMs: 30_000,
    });
    expect(await policyOf('ordered: true key: "a"', { policies: { defaults } })).toMatchObject({ record: 'ALWAYS' });
  });

  test('what cannot be is told at its place, also where the defaults say it', async () => {
    const policies = { file: 'sluice.yaml', defaults: { ordered: true } };
    expect(await problemsOf(load('', { policies }))).toMatchObject([
      { file: 'sluice.yaml', option: 'defaults.ordered', message: expect.stringContaining('without a `key`') },
    ]);
    const services = { 'test.v1.S': { max_attempts: 2 } };
    expect(await problemsOf(load('', { policies: { file: 'sluice.yaml', services } }))).toMatchObject([
      { file: 'sluice.yaml', option: 'services.test.v1.S.max_attempts' },
    ]);
  });

  test.each([
    ['idempotent', 'yes', 'expected true or false'],
    ['ordered', 1, 'expected true or false'],
    ['max_attempts', 1.5, 'from 1 to 100'],
    ['redeliver_after', 30, 'expected a duration'],
    ['worker_group', '', 'expected the name of a consumer group'],
    ['idempotency_key', true, 'expected OPTIONAL or REQUIRED'],
  ])('%s: %j is refused', async (field, value, message) => {
    const problems = await problemsOf(load('', { policies: { methods: { 'test.v1.S/A': { [field]: value } } } }));
    expect(problems).toMatchObject([
      { option: `methods.test.v1.S/A.${field}`, message: expect.stringContaining(message) },
    ]);
  });
});
