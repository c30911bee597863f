// A release that comes after this one, made of it: its sources in a folder of their own with one more migration, and with
// another text of a hot statement, which makes that another function of the database. All else it does as a release does.
import { cp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PARTS = ['bin', 'src', 'proto', 'package.json'];
export const NEWER_MIGRATION = '9999-newer-release.sql';

/** Columns that may be null, and an index over all rows: what holds others up is that it locks their table. */
const MIGRATION = `
ALTER TABLE sluice.operation ADD COLUMN newer_note text;
ALTER TABLE sluice.operation_event ADD COLUMN newer_note text;
CREATE INDEX operation_newer_note ON sluice.operation (newer_note, id);
`;

/** Of `insert-operations`, by which it notes on every row that it was this release. */
const REPLACEMENTS: readonly (readonly [string, string])[] = [
  ['ordered, order_number\n    )', 'ordered, order_number, newer_note\n    )'],
  ["nextval('sluice.operation_order') END\n", "nextval('sluice.operation_order') END, 'newer'\n"],
];

/** Makes it in the folder `newer` of this one, and resolves with the arguments of `node` that start it. */
export async function makeNewerRelease(folder: string): Promise<readonly string[]> {
  const release = join(folder, 'newer');
  for (const part of PARTS) await cp(join(ROOT, part), join(release, part), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(release, 'node_modules'));
  const store = join(release, 'src', 'store');
  await writeFile(join(store, 'migrations', NEWER_MIGRATION), MIGRATION);
  await rewrite(join(store, 'functions', 'insert-operations.sql'));
  return [join(release, 'bin', 'sluice.js'), 'start'];
}

async function rewrite(file: string): Promise<void> {
  let text = await readFile(file, 'utf8');
  for (const [old, replacement] of REPLACEMENTS) {
    if (!text.includes(old)) throw new Error(`${file} does not hold what the newer release changes: ${old}`);
    text = text.replace(old, replacement);
  }
  await writeFile(file, text);
}
