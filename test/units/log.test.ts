import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';

const MODULE = new URL('../../src/runtime/log.ts', import.meta.url).href;

/** What a process wrote that logs one line and ends at once. */
async function lastWords(format: 'pretty' | 'json', end: string): Promise<string> {
  const program = `
    import { createLog } from ${JSON.stringify(MODULE)};
    const log = createLog({ level: 'info', pretty: ${format === 'pretty'} });
    log.logger.error({ err: new Error('the reason'), wide: 1 }, 'last words');
    ${end}
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return text(child.stdout);
}

describe('the log', () => {
  it.each(['pretty', 'json'] as const)('has the last line of a process that ends after a flush: %s', async (format) => {
    const output = await lastWords(format, 'log.flush(); process.exit(1);');
    expect(output).toContain('last words');
    expect(output).toContain('the reason');
  });

  it('has the last line of a process that ends without one', async () => {
    expect(await lastWords('json', 'process.exit(1);')).toContain('last words');
  });

  it('has, where it is pretty, the last line of a process that nobody could flush', async () => {
    expect(await lastWords('pretty', 'process.kill(process.pid, "SIGKILL");')).toContain('last words');
  });
});
