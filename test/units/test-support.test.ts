// The tests' own machinery: what it must not get wrong for the other tests to mean something.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestModule } from 'vitest/node';
import { readAskedParts } from '../support/asked-parts.ts';
import { renderSummary, summarise } from '../support/reporter.ts';

const supportFolder = join(import.meta.dirname, '..', 'support');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-test-support-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a server process', () => {
  it('dies, and its folder goes, when the process that started it is killed with -9', async () => {
    const data = await mkdtemp(join(folder, 'data-'));
    const spec = { command: ['sleep', '60'], logFile: join(data, 'log'), folder: data };
    const program = `
      import { startSupervised } from ${JSON.stringify(join(supportFolder, 'supervised-process.ts'))};
      console.log((await startSupervised(${JSON.stringify(spec)})).pid);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [output] = await once(parent.stdout, 'data');
    const pid = Number(String(output));
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
    await expect.poll(() => existsSync(data), { timeout: 10_000 }).toBe(false);
  });
});

describe('the real parts of a run', () => {
  const write = async (name: string, text: string) => {
    const file = join(folder, name);
    await writeFile(file, text);
    return file;
  };
  const realParts = () => relative(folder, join(supportFolder, 'real-parts.ts'));

  it('are not asked for by a file that only names them', async () => {
    const file = await write('names.test.ts', 'const text = "describeWithBoth";');
    expect(readAskedParts([file])).toEqual({ kafka: false, postgres: false });
  });

  it('are asked for through a support file that a test imports', async () => {
    await write(
      'support.ts',
      `import {\n  describeWithKafka,\n} from '${realParts()}';\ndescribeWithKafka('x', () => {});`,
    );
    const file = await write('indirect.test.ts', `import './support.ts';`);
    expect(readAskedParts([file])).toEqual({ kafka: true, postgres: false });
  });
});

describe('the summary of a run', () => {
  it('counts failed files, failed suites and errors outside tests as failed', () => {
    const modules = [
      fakeModule({ tests: ['passed', 'passed', 'failed'] }),
      fakeModule({ moduleErrors: 1 }),
      fakeModule({ suiteErrors: 1 }),
    ];
    const summary = summarise(modules, [{ message: 'unhandled' }], false);
    expect(renderSummary(summary)).toBe('2 passed, 4 failed\n');
  });

  it('says what was not run and why, and counts it as failed where all must run', () => {
    const modules = [fakeModule({ tests: ['passed', 'skipped', 'skipped'] })];
    const lines = renderSummary(summarise(modules, [], false))
      .trim()
      .split('\n');
    expect(lines).toContain('!!! 2 tests: Kafka is missing');
    expect(lines.at(-1)).toBe('1 passed, 0 failed');
    expect(renderSummary(summarise(modules, [], true))).toMatch(/\n1 passed, 2 failed\n$/);
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function fakeModule(shape: { tests?: string[]; moduleErrors?: number; suiteErrors?: number }): TestModule {
  const errors = (count = 0) => Array.from({ length: count }, () => ({ message: 'x' }));
  const module = { type: 'module', errors: () => errors(shape.moduleErrors), relativeModuleId: 'a.test.ts' };
  const suite = { type: 'suite', meta: () => ({ notRun: 'Kafka is missing' }), parent: module };
  const tests = (shape.tests ?? []).map((state) => ({
    type: 'test',
    meta: () => ({}),
    parent: suite,
    result: () => ({ state }),
  }));
  const children = { allSuites: () => [{ ...suite, errors: () => errors(shape.suiteErrors) }], allTests: () => tests };
  return { ...module, children } as unknown as TestModule;
}
