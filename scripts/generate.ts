/**
 * Writes the generated files; with `--check` writes nothing and fails where one is stale. Names limit it to files that
 * contain them: `node scripts/generate.ts openapi`.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { GENERATED, ROOT } from './generated.ts';

const { values, positionals } = parseArgs({ options: { check: { type: 'boolean' } }, allowPositionals: true });

for (const [name, render] of Object.entries(GENERATED)) {
  if (positionals.length > 0 && !positionals.some((part) => name.includes(part))) continue;
  const file = join(ROOT, name);
  const text = await render();
  if (text === readOrNull(file)) console.log(`${name}: up to date`);
  else if (values.check) reportStale(name);
  else writeAnew(name, file, text);
}

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function reportStale(name: string): void {
  console.error(`${name}: stale; run \`npm run generate\` and commit it`);
  process.exitCode = 1;
}

function writeAnew(name: string, file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  console.log(`${name}: written`);
}
