/** The YAML file (YAML 1.2, one document) of SLUICE_CONFIG. */
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type YAMLMap,
} from 'yaml';
import { suggestName } from '../contract/nearest.ts';
import { type Draft, resolvePaths } from './draft.ts';
import { reservedKeys } from './schema.ts';
import { configTree, type Group, isGroup, type Setting } from './tree.ts';

const MAX_FILE_BYTES = 1024 * 1024;
/** An alias may stand for much text; so many are enough for any file, and too few for a bomb. */
const MAX_ALIASES = 100;

/** Reads the file into the draft; whatever is wrong with its form becomes a problem of the draft. */
export function readConfigFile(file: string, draft: Draft): void {
  const content = readText(file, draft);
  if (content === null) {
    draft.incomplete = true;
    return;
  }
  const lines = new LineCounter();
  const document = parseDocument(content, { lineCounter: lines, prettyErrors: false });
  for (const error of document.errors)
    draft.problems.push(`${file}:${lines.linePos(error.pos[0]).line}: ${error.message}`);
  draft.incomplete = document.errors.length > 0;
  if (draft.incomplete || document.contents === null) return;
  const reader = new FileReader(file, lines, draft, document);
  try {
    reader.readGroup(configTree, document.contents as Node);
  } catch (error) {
    draft.problems.push(`${file}: ${(error as Error).message}`);
  }
}

function readText(file: string, draft: Draft): string | null {
  try {
    if (statSync(file).size <= MAX_FILE_BYTES) return readFileSync(file, 'utf8');
    draft.problems.push(
      `${file} (SLUICE_CONFIG): longer than ${MAX_FILE_BYTES} bytes, expected a YAML file of settings`,
    );
  } catch (error) {
    draft.problems.push(`${file} (SLUICE_CONFIG): ${(error as Error).message}, expected a YAML file that can be read`);
  }
  return null;
}

class FileReader {
  readonly #file: string;
  readonly #folder: string;
  readonly #lines: LineCounter;
  readonly #draft: Draft;
  readonly #document: Document;

  constructor(file: string, lines: LineCounter, draft: Draft, document: Document) {
    this.#file = file;
    this.#folder = dirname(resolve(file));
    this.#lines = lines;
    this.#draft = draft;
    this.#document = document;
  }

  readGroup(group: Group, given: Node): void {
    const node = isAlias(given) ? (given.resolve(this.#document) ?? given) : given;
    if (!isMap(node)) {
      const names = [...group.children.keys()].join(', ');
      this.#report(
        node,
        group.key,
        `found ${JSON.stringify(this.#toValue(node))}, expected a map with any of ${names}`,
      );
      return;
    }
    for (const pair of (node as YAMLMap<Node, Node | null>).items) this.#readPair(group, pair);
  }

  #readPair(group: Group, { key, value }: Pair<Node, Node | null>): void {
    const name = isScalar(key) ? String(key.value) : JSON.stringify(this.#toValue(key));
    const full = group.key === '' ? name : `${group.key}.${name}`;
    const child = group.children.get(name);
    if (child === undefined) this.#report(key, full, explainUnknown(group, name));
    else if (value === null || (isScalar(value) && value.value === null)) return;
    else if (isGroup(child)) this.readGroup(child, value);
    else this.#put(child, key, value);
  }

  #toValue(node: Node): unknown {
    return node.toJS(this.#document, { maxAliasCount: MAX_ALIASES });
  }

  #put(setting: Setting, key: Node, node: Node): void {
    const value = resolvePaths(setting, this.#toValue(node), this.#folder);
    this.#draft.put(setting, value, `${this.#placeOf(key)}: ${setting.key}`);
  }

  #report(node: Node, key: string, message: string): void {
    this.#draft.problems.push([this.#placeOf(node), key, message].filter((part) => part !== '').join(': '));
  }

  #placeOf(node: Node): string {
    return node.range ? `${this.#file}:${this.#lines.linePos(node.range[0]).line}` : this.#file;
  }
}

function explainUnknown(group: Group, name: string): string {
  if (reservedKeys[group.key]?.includes(name))
    return 'reserved for a later version; this one does not read it, so it may not be set';
  return `unknown key${suggestName(name, [...group.children.keys()])}`;
}
