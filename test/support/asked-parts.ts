// Which real parts the test files of a run ask for, read from their text: a run of a few unit tests should not wait
// for a broker. Imports are followed, so a support file may ask on behalf of the tests that import it.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { TestProject } from 'vitest/node';

export interface AskedParts {
  kafka: boolean;
  postgres: boolean;
}

const home = resolve(import.meta.dirname, 'real-parts.ts');
const relativeImport = /(?:from|import)\s*\(?\s*['"](\.{1,2}\/[^'"]+\.ts)['"]/g;
const kafkaNames = /\b(realKafka|describeWithKafka|describeWithBoth)\b/;
const postgresNames = /\b(realPostgres|createTestDatabase|describeWithPostgres|describeWithBoth)\b/;

/** Looks through the files that the command line selects, or all where that cannot be known (watch mode, none found). */
export async function findAskedParts(project: TestProject): Promise<AskedParts> {
  if (project.vitest.config.watch) return { kafka: true, postgres: true };
  // Not in vitest's types; absent, every test file is looked through.
  const { filenamePattern } = project.vitest as unknown as { filenamePattern?: string[] };
  const selected = (await project.globTestFiles(filenamePattern?.map(dropLineNumber))).testFiles;
  const files = selected.length > 0 ? selected : (await project.globTestFiles()).testFiles;
  return readAskedParts(files);
}

/** Follows relative imports from `files`; only what imports `real-parts.ts` counts. */
export function readAskedParts(files: string[]): AskedParts {
  const asked: AskedParts = { kafka: false, postgres: false };
  const seen = new Set<string>([home]);
  const open = [...files];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (seen.has(file) || !existsSync(file)) continue;
    seen.add(file);
    const text = readFileSync(file, 'utf8');
    const folder = dirname(file);
    const imports = [...text.matchAll(relativeImport)].map((match) => resolve(folder, match[1]!));
    open.push(...imports);
    if (!imports.includes(home)) continue;
    asked.kafka ||= kafkaNames.test(text);
    asked.postgres ||= postgresNames.test(text);
  }
  return asked;
}

function dropLineNumber(filter: string): string {
  return filter.replace(/:\d+$/, '');
}
