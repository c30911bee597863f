import { createHash } from 'node:crypto';
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
  return squeeze(readWhole(`sql/${name}.sql`));
}

function readWhole(path: string): string {
  return readText(path).replaceAll(/-- @([a-z-]+)/g, (_, part: string) => readText(`sql/${part}.sql`));
}

/** Without comments and indentation: a statement is sent, and parsed by the server, each time it runs. */
function squeeze(sql: string): string {
  return sql.replaceAll(/--.*$/gm, '').replaceAll(/\s+/g, ' ').trim();
}

/**
 * The call of the function of the file `functions/<name>.sql`, its parameters in their order. It answers with one row, or
 * with one for each row of the function's table.
 */
export function loadCall(name: string): string {
  const { qualified, parameterCount } = readFunction(name);
  const parameters = Array.from({ length: parameterCount }, (_, index) => `$${index + 1}`);
  return `SELECT * FROM ${qualified}(${parameters.join(', ')})`;
}

/** In the order in which they are applied. A function is one, too: made once under its name, which says its text. */
export function loadMigrations(): readonly Migration[] {
  const migrations = listFiles('migrations').map((file) => ({ name: file, script: readText(`migrations/${file}`) }));
  const functions = listFiles('functions').map((file) => readFunction(file.slice(0, -'.sql'.length)));
  return [...migrations, ...functions.map(({ qualified, script }) => ({ name: qualified, script }))];
}

interface DatabaseFunction {
  readonly qualified: string;
  readonly script: string;
  readonly parameterCount: number;
}

/**
 * Functions of the database are named by what they say: instances of two versions beside each other have one each, and a
 * change of its text, which makes a new one, asks for no other care.
 */
function readFunction(name: string): DatabaseFunction {
  const text = readWhole(`functions/${name}.sql`);
  const meaning = squeeze(text);
  const version = createHash('sha256').update(meaning).digest('hex').slice(0, 8);
  const qualified = `sluice.${name.replaceAll('-', '_')}_${version}`;
  const [, parameters] = /^CREATE FUNCTION @name \(([^)]*)\) (?:RETURNS|LANGUAGE) /.exec(meaning) ?? [];
  if (parameters === undefined)
    throw new Error(
      `functions/${name}.sql must begin with CREATE FUNCTION @name (…), no parameter's type with brackets of its own`,
    );
  const parameterCount = parameters.split(',').filter((parameter) => !parameter.trim().startsWith('OUT ')).length;
  return { qualified, script: text.replace('CREATE FUNCTION @name', `CREATE FUNCTION ${qualified}`), parameterCount };
}

function listFiles(folder: string): readonly string[] {
  const names = readdirSync(new URL(`${folder}/`, import.meta.url));
  return names.filter((name) => name.endsWith('.sql')).sort();
}

function readText(path: string): string {
  return readFileSync(new URL(path, import.meta.url), 'utf8');
}
