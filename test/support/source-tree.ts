// The files of the project as the house rules see them: all that would be committed, without what is built or installed.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const SKIPPED = new Set(['node_modules', 'dist', '.git', '.sluice', 'coverage']);

/** Paths from the root with slashes, sorted. */
export function listFiles(folder = '.'): string[] {
  const files = readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = folder === '.' ? entry.name : `${folder}/${entry.name}`;
    if (SKIPPED.has(entry.name)) return [];
    if (entry.isDirectory()) return listFiles(path);
    return entry.isFile() ? [path] : [];
  });
  return files.sort();
}

export function readText(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s(?:[^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

export interface SourceImport {
  readonly from: string;
  /** A path from the root for a relative import, else the name of the package or of Node's module. */
  readonly to: string;
  readonly relative: boolean;
}

export function listImports(path: string): SourceImport[] {
  return [...readText(path).matchAll(IMPORT)].map((match) => {
    const target = (match[1] ?? match[2])!;
    const relative = target.startsWith('.');
    return { from: path, to: relative ? normalize(join(dirname(path), target)) : packageOf(target), relative };
  });
}

function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier;
  const parts = specifier.split('/');
  return parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/');
}

export interface TestTitle {
  readonly line: number;
  /** With those of the blocks around it. */
  readonly path: string;
}

const TITLE = /^(\s*)(?:(describe\w*)|it|test|\]\))(?:\.\w+(?:\([^)]*\))?)*\(\s*(['"`])((?:\\.|(?!\3).)+)\3/;

/** Titles of one test file; blocks are known by their indentation, which the formatter keeps true. */
export function listTestTitles(path: string): TestTitle[] {
  const open: { readonly indent: number; readonly title: string }[] = [];
  return readText(path)
    .split('\n')
    .flatMap((text, index) => {
      const match = TITLE.exec(text);
      if (!match) return [];
      const indent = match[1]!.length;
      while (open.length > 0 && open.at(-1)!.indent >= indent) open.pop();
      const titles = [...open.map(({ title }) => title), match[4]!];
      if (match[2]) open.push({ indent, title: match[4]! });
      return match[2] ? [] : [{ line: index + 1, path: titles.join(' > ') }];
    });
}
