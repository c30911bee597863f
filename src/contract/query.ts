/** Text of the path and the query as JSON values, and a place in a JSON tree for each. */

import { type DescField, type DescMessage, type JsonValue, ScalarType } from '@bufbuild/protobuf';
import { Failure, type Violation } from '../runtime/failure.ts';
import { describeExpected, describeValue } from './expected.ts';
import { findField, isLeaf, isWrapper } from './field-path.ts';
import { describeBadText } from './json-body.ts';
import { suggestName } from './nearest.ts';
import { strictScalarCheck } from './strict-json.ts';

export interface QueryParameter {
  readonly name: string;
  readonly value: string;
}

/**
 * @param query what follows the `?`; `+` is a space, as forms write it.
 * @throws Failure REQUEST_MALFORMED for broken percent-encoding.
 */
export function parseQuery(query: string): QueryParameter[] {
  return query
    .split('&')
    .filter((part) => part !== '')
    .map((part) => {
      const equals = part.indexOf('=');
      const name = decodePart(equals < 0 ? part : part.slice(0, equals));
      return { name, value: equals < 0 ? '' : decodePart(part.slice(equals + 1), name) };
    });
}

function decodePart(raw: string, name?: string): string {
  try {
    return decodeURIComponent(raw.replaceAll('+', ' '));
  } catch {
    const parameter = name ?? raw;
    throw new Failure('REQUEST_MALFORMED', `query parameter "${parameter}" is not percent-encoded UTF-8`, {
      violations: [{ parameter, detail: 'expected percent-encoded UTF-8' }],
    });
  }
}

/**
 * The fields that a parameter name leads to, by proto or JSON names.
 * @returns what is wrong with it, as text, where it leads to no leaf.
 */
export function resolveParameter(root: DescMessage, name: string): readonly DescField[] | string {
  const fields: DescField[] = [];
  let message: DescMessage | undefined = root;
  for (const part of name.split('.')) {
    const field: DescField | undefined = message && findField(message, part);
    if (!field) {
      const known = message?.fields.map((each) => [...fields, each].map((one) => one.name).join('.')) ?? [];
      return `is no field of ${root.typeName}${suggestName(name, known)}`;
    }
    fields.push(field);
    message = field.fieldKind === 'message' && !isLeaf(field) ? field.message : undefined;
  }
  const last = fields.at(-1)!;
  if (isLeaf(last)) return fields;
  if (last.fieldKind === 'message') return `is the message ${last.message.typeName}, expected one of its fields`;
  return `is a ${last.fieldKind === 'map' ? 'map' : 'repeated message'}, which a query cannot hold`;
}

/** The JSON form of one text. @returns a violation's detail in place of it where the text is wrong. */
export function readLeaf(field: DescField, text: string): { readonly value: JsonValue } | { readonly detail: string } {
  const badText = describeBadText(text);
  if (badText) return { detail: badText };
  const value = leafToJson(field, text);
  if (value !== undefined) return { value };
  return { detail: `expected ${describeExpected(field)}, got ${describeValue(text)}` };
}

function leafToJson(field: DescField, text: string): JsonValue | undefined {
  if (field.enum) return /^-?\d{1,10}$/.test(text) ? Number(text) : text;
  if (field.message) return isWrapper(field.message) ? leafToJson(field.message.fields[0]!, text) : text;
  if (field.scalar === ScalarType.BOOL) return text === 'true' ? true : text === 'false' ? false : undefined;
  if (text === '' && field.scalar !== ScalarType.STRING && field.scalar !== ScalarType.BYTES) return undefined;
  return strictScalarCheck(field.scalar!)?.(text) === false ? undefined : text;
}

/** Where nothing of the tree is shared with a caller's value: objects on the way are copied once. */
export class JsonTree {
  readonly #owned = new WeakSet<object>();
  root: Record<string, JsonValue>;

  /** @param root not changed. */
  constructor(root: Readonly<Record<string, JsonValue>>) {
    this.root = this.#own({ ...root });
  }

  /**
   * Sets a leaf, over whatever the caller gave for it under either of its names. Where something on the way is no object
   * it stays as it is, for the decoder to refuse.
   */
  set(fields: readonly DescField[], value: JsonValue): void {
    const parent = this.#descend(fields.slice(0, -1));
    const leaf = fields.at(-1)!;
    if (!parent) return;
    delete parent[leaf.name];
    parent[leaf.jsonName] = value;
  }

  #descend(fields: readonly DescField[]): Record<string, JsonValue> | null {
    let node = this.root;
    for (const field of fields) {
      const key = Object.hasOwn(node, field.name) ? field.name : field.jsonName;
      const child = Object.hasOwn(node, key) ? (node[key] ?? null) : null;
      if (typeof child !== 'object' || Array.isArray(child)) return null;
      const next: Record<string, JsonValue> = child && this.#owned.has(child) ? child : this.#own({ ...child });
      node[key] = next;
      node = next;
    }
    return node;
  }

  #own(object: Record<string, JsonValue>): Record<string, JsonValue> {
    this.#owned.add(object);
    return object;
  }
}

/** Thrown together, so that a caller sees all of them. */
export function refuseParameters(violations: readonly Violation[]): never {
  throw new Failure('REQUEST_INVALID', 'the path or the query does not fit the contract', { violations });
}
