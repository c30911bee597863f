import type { Violation } from '../runtime/failure.ts';
import type { HttpBinding } from './http-rule.ts';

/** Keys and indexes from the root of a message's JSON form. */
export type JsonPath = readonly (string | number)[];

/** A JSON pointer as a URI fragment (RFC 6901 section 6): `#/items/0/sku`. */
export function formatPointer(path: JsonPath): string {
  return `#${path.map((part) => `/${encodePart(String(part))}`).join('')}`;
}

function encodePart(part: string): string {
  const escaped = part.replaceAll('~', '~0').replaceAll('/', '~1');
  return encodeURIComponent(escaped.isWellFormed() ? escaped : escaped.toWellFormed());
}

/**
 * Where a place of the request message came from in an HTTP request: the path, the query or the body.
 * Without binding it is a place of the message itself.
 */
export function locateViolation(path: JsonPath, detail: string, binding: HttpBinding | undefined): Violation {
  if (!binding) return { pointer: formatPointer(path), detail };
  const variable = findVariable(path, binding);
  if (variable !== null) return { parameter: variable, detail };
  if (binding.body === '*') return { pointer: formatPointer(path), detail };
  if (binding.body && isNameOf(binding.body, path[0])) return { pointer: formatPointer(path.slice(1)), detail };
  const names = path.filter((part) => typeof part === 'string');
  return names.length > 0 ? { parameter: names.join('.'), detail } : { pointer: '#', detail };
}

function findVariable(path: JsonPath, binding: HttpBinding): string | null {
  for (const { text, fields } of binding.variables.values()) {
    if (fields.length <= path.length && fields.every((field, index) => isNameOf(field, path[index]))) return text;
  }
  return null;
}

function isNameOf(
  field: { readonly name: string; readonly jsonName: string },
  part: string | number | undefined,
): boolean {
  return part === field.jsonName || part === field.name;
}
