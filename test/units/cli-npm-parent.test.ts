import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { endWithNpm } from '../../src/cli/npm-parent.ts';

vi.setConfig({ testTimeout: 60_000 });

const folder = mkdtempSync(join(tmpdir(), 'sluice-npm-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Says that it runs, and that it was told to end; ends by itself where the test has forgotten it. */
const script = join(folder, 'script.ts');
writeFileSync(
  script,
  `import { endWithNpm } from ${JSON.stringify(join(import.meta.dirname, '../../src/cli/npm-parent.ts'))};
   import { writeFileSync } from 'node:fs';
   endWithNpm();
   process.on('SIGTERM', () => { writeFileSync(process.argv[2] + '.ended', ''); process.exit(); });
   setTimeout(() => process.exit(), 30_000);
   writeFileSync(process.argv[2] + '.runs', String(process.pid));`,
);
/** As npm does: it waits for a shell that waits for the script. */
const npm = join(folder, 'npm.mjs');
writeFileSync(
  npm,
  `import { spawn } from 'node:child_process';
   import { writeFileSync } from 'node:fs';
   const shell = spawn('/bin/sh', ['-c', '"$0" "$1" "$2"; true', process.execPath, ${JSON.stringify(script)}, process.argv[2]]);
   writeFileSync(process.argv[2] + '.shell', String(shell.pid));`,
);

async function startUnderNpm(name: string): Promise<{ file: string; npm: ChildProcess; shellPid: number }> {
  const file = join(folder, name);
  const env = { ...process.env, npm_lifecycle_event: 'sluice' };
  const started = spawn(process.execPath, [npm, file], { env, stdio: 'ignore' });
  await expect.poll(() => existsSync(`${file}.runs`), { timeout: 40_000 }).toBe(true);
  return { file, npm: started, shellPid: Number(readFileSync(`${file}.shell`, 'utf8')) };
}

describe('what npm has started', () => {
  it('ends when the shell between is told to end and tells nobody', async () => {
    const { file, shellPid } = await startUnderNpm('shell');
    process.kill(shellPid, 'SIGTERM');
    await expect.poll(() => existsSync(`${file}.ended`), { timeout: 15_000 }).toBe(true);
  });

  // Without /proc nobody can tell.
  it.runIf(existsSync('/proc/self/stat'))('ends when npm is killed and its shell lives on', async () => {
    const { file, npm: started } = await startUnderNpm('npm');
    started.kill('SIGKILL');
    await expect.poll(() => existsSync(`${file}.ended`), { timeout: 15_000 }).toBe(true);
  });
});

describe('what npm has not started', () => {
  it('does not look at its parent: a daemon outlives whoever started it', () => {
    vi.stubEnv('npm_lifecycle_event', undefined);
    const setTimer = vi.spyOn(globalThis, 'setInterval');
    endWithNpm();
    expect(setTimer).not.toHaveBeenCalled();
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  });
});
