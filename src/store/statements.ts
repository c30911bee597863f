import { readdirSync, readFileSync } from 'node:fs';

/** A migration in the order of its name; applied once. */
export interface Migration {
  readonly name: string;
  readonly script: string;
}

/**
 * The statement of the file `sql/<name>.sql`, with the parts that it names (`-- @part` is `sql/part.sql`). Read once, at
 * start; also from the compiled package, which has the same folders.
 */
export function loadStatement(name: string): string {
  const whole = readText(`sql/${name}.sql`).replaceAll(/-- @([a-z-]+)/g, (_, part: string) =>
    readText(`sql/${part}.sql`),
  );
  return squeeze(whole);
}

/** Without comments and indentation: a statement is sent, and parsed by the server, each time it runs. */
function squeeze(sql: string): string {
  return sql.replaceAll(/--.*$/gm, '').replaceAll(/\s+/g, ' ').trim();
}

export function loadMigrations(): readonly Migration[] {
  const names = readdirSync(new URL('migrations/', import.meta.url)).filter((name) => name.endsWith('.sql'));
  return names.sort().map((name) => ({ name, script: readText(`migrations/${name}`) }));
}

function readText(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8');
}
