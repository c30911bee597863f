import { readdirSync, readFileSync } from 'node:fs';

/** A migration in the order of its name; applied once. */
export interface Migration {
  readonly name: string;
  readonly script: string;
}

const OPERATION_COLUMNS = readText('sql/operation-columns.sql');

/** The statement of the file `sql/<name>.sql`. Read once, at start; also from the compiled package, which has the same folders. */
export function loadStatement(name: string): string {
  return readText(`sql/${name}.sql`).replace('-- @operation-columns', OPERATION_COLUMNS);
}

export function loadMigrations(): readonly Migration[] {
  const names = readdirSync(new URL('migrations/', import.meta.url)).filter((name) => name.endsWith('.sql'));
  return names.sort().map((name) => ({ name, script: readText(`migrations/${name}`) }));
}

function readText(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8');
}
