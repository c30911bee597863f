/**
 * Where and why a JSON value is not a message. The decoder stops at the first fault and names the field without the way
 * to it, so this walks the value again by the descriptor, asking the decoder about each leaf. Runs on errors only.
 */

import {
  type DescField,
  type DescMessage,
  type DescOneof,
  fromJson,
  type JsonValue,
  type Registry,
} from '@bufbuild/protobuf';
import { describeExpected, describeExpectedMessage, describeExpectedScalar, describeValue } from './expected.ts';
import { findField } from './field-path.ts';
import type { JsonPath } from './json-path.ts';
import { suggestName } from './nearest.ts';
import { type StrictCheck, strictMessageCheck, strictScalarCheck } from './strict-json.ts';

export interface Finding {
  readonly path: JsonPath;
  readonly detail: string;
  /** A member that the message does not have. */
  readonly unknownField?: true;
}

const MAX_FINDINGS = 20;

/** @returns at least one finding if `fromJson` or the strict check refuses the value. */
export function diagnoseJson(
  message: DescMessage,
  value: JsonValue,
  options: { readonly registry: Registry; readonly maxDepth: number },
): Finding[] {
  const walk = new Diagnosis(options.registry, options.maxDepth);
  walk.readMessage(message, value, [], 1);
  if (walk.findings.length > 0) return walk.findings;
  return [{ path: [], detail: describeRefusal(message, value, options) }];
}

/** What only the decoder knows: a map key in two spellings, lists in a Value that nest too deep. */
function describeRefusal(
  message: DescMessage,
  value: JsonValue,
  options: { readonly registry: Registry; readonly maxDepth: number },
): string {
  try {
    fromJson(message, value, { registry: options.registry, recursionLimit: options.maxDepth });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (reason.includes('recursion depth')) return `nests deeper than ${options.maxDepth} messages`;
    return `is not ${message.typeName}: ${reason}`;
  }
  return `is not ${message.typeName}`;
}

class Diagnosis {
  readonly findings: Finding[] = [];
  readonly #registry: Registry;
  readonly #maxDepth: number;

  constructor(registry: Registry, maxDepth: number) {
    this.#registry = registry;
    this.#maxDepth = maxDepth;
  }

  readMessage(message: DescMessage, value: JsonValue, path: JsonPath, depth: number): void {
    if (depth > this.#maxDepth) {
      this.#add(path, `nests deeper than ${this.#maxDepth} messages`);
      return;
    }
    if (message.typeName.startsWith('google.protobuf.') && describeExpectedMessage(message) !== 'an object') {
      this.#tryMessage(message, value, path);
      return;
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.#add(path, `expected an object, got ${describeValue(value)}`);
      return;
    }
    if (message.typeName === 'google.protobuf.Struct') {
      this.#tryMessage(message, value, path);
      return;
    }
    this.#readFields(message, value, path, depth);
  }

  #readFields(message: DescMessage, value: Readonly<Record<string, JsonValue>>, path: JsonPath, depth: number): void {
    const seen = new Map<DescField | DescOneof, string>();
    for (const [key, member] of Object.entries(value)) {
      if (this.findings.length >= MAX_FINDINGS) return;
      const field = findField(message, key);
      const place = [...path, key];
      if (!field) {
        if (!this.#isExtension(message, key)) this.#addUnknown(message, key, place);
        continue;
      }
      if (seen.has(field)) this.#add(place, `is given twice, as "${seen.get(field)}" and as "${key}"`);
      seen.set(field, key);
      this.#checkOneof(field, key, member, place, seen);
      if (member !== null || acceptsNull(field)) this.#readField(message, field, member, place, depth);
    }
  }

  #checkOneof(
    field: DescField,
    key: string,
    member: JsonValue,
    place: JsonPath,
    seen: Map<DescField | DescOneof, string>,
  ): void {
    const { oneof } = field;
    if (!oneof || (member === null && field.fieldKind === 'scalar')) return;
    const other = seen.get(oneof);
    if (other !== undefined && other !== key) {
      this.#add(place, `is of the same oneof "${oneof.name}" as "${other}", expected only one of them`);
    }
    seen.set(oneof, key);
  }

  #readField(parent: DescMessage, field: DescField, value: JsonValue, path: JsonPath, depth: number): void {
    if (field.fieldKind === 'list') {
      this.#readList(parent, field, value, path, depth);
      return;
    }
    if (field.fieldKind === 'map') {
      this.#readMap(parent, field, value, path, depth);
      return;
    }
    if (field.fieldKind === 'message') {
      this.readMessage(field.message, value, path, depth + 1);
      return;
    }
    this.#tryLeaf(parent, field, value, value, path);
  }

  #readList(
    parent: DescMessage,
    field: DescField & { fieldKind: 'list' },
    value: JsonValue,
    path: JsonPath,
    depth: number,
  ): void {
    if (!Array.isArray(value)) {
      this.#add(path, `expected an array, got ${describeValue(value)}`);
      return;
    }
    for (const [index, item] of value.entries()) {
      if (this.findings.length >= MAX_FINDINGS) return;
      const place = [...path, index];
      if (item === null && !acceptsNull(field)) this.#add(place, `expected ${describeExpected(field)}, got null`);
      else if (field.message) this.readMessage(field.message, item, place, depth + 1);
      else this.#tryLeaf(parent, field, [item], item, place);
    }
  }

  #readMap(
    parent: DescMessage,
    field: DescField & { fieldKind: 'map' },
    value: JsonValue,
    path: JsonPath,
    depth: number,
  ): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.#add(path, `expected an object, got ${describeValue(value)}`);
      return;
    }
    for (const [key, item] of Object.entries(value)) {
      if (this.findings.length >= MAX_FINDINGS) return;
      const place = [...path, key];
      if (item === null && !acceptsNull(field)) this.#add(place, `expected ${describeExpected(field)}, got null`);
      else if (!this.#readsKey(parent, field, key)) {
        this.#add(place, `has the key ${describeValue(key)}, expected ${describeExpectedScalar(field.mapKey)}`);
      } else if (field.message) this.readMessage(field.message, item, place, depth + 1);
      else this.#tryLeaf(parent, field, { [key]: item }, item, place);
    }
  }

  #readsKey(parent: DescMessage, field: DescField & { fieldKind: 'map' }, key: string): boolean {
    const sample = this.#sampleOf(field);
    return sample === undefined || this.#decodes(parent, { [field.jsonName]: { [key]: sample } });
  }

  /** Some value that a map of this field takes; undefined where none is simple. */
  #sampleOf(field: DescField & { fieldKind: 'map' }): JsonValue | undefined {
    const samples: JsonValue[] = ['', 0, false, {}, [], '0s', '1970-01-01T00:00:00Z'];
    return samples.find((sample) => {
      const key = field.mapKey === 8 ? 'true' : '1';
      return this.#decodes(field.parent, { [field.jsonName]: { [key]: sample } });
    });
  }

  #tryLeaf(parent: DescMessage, field: DescField, wrapped: JsonValue, value: JsonValue, path: JsonPath): void {
    const check: StrictCheck | null = field.enum ? null : strictScalarCheck(field.scalar!);
    const right = this.#decodes(parent, { [field.jsonName]: wrapped }) && (check === null || check(value));
    if (!right) this.#add(path, `expected ${describeExpected(field)}, got ${describeValue(value)}`);
  }

  #tryMessage(message: DescMessage, value: JsonValue, path: JsonPath): void {
    const right = this.#decodes(message, value) && (strictMessageCheck(message)?.(value) ?? true);
    if (!right) this.#add(path, `expected ${describeExpectedMessage(message)}, got ${describeValue(value)}`);
  }

  #decodes(message: DescMessage, value: JsonValue): boolean {
    try {
      fromJson(message, value, { registry: this.#registry, recursionLimit: this.#maxDepth });
      return true;
    } catch {
      return false;
    }
  }

  #isExtension(message: DescMessage, key: string): boolean {
    const name = /^\[(.+)\]$/.exec(key)?.[1];
    return name !== undefined && this.#registry.getExtension(name)?.extendee.typeName === message.typeName;
  }

  #addUnknown(message: DescMessage, key: string, path: JsonPath): void {
    const known = message.fields.map((field) => field.jsonName);
    const detail = `is no field of ${message.typeName}${suggestName(key, known)}`;
    if (this.findings.length < MAX_FINDINGS) this.findings.push({ path, detail, unknownField: true });
  }

  #add(path: JsonPath, detail: string): void {
    if (this.findings.length < MAX_FINDINGS) this.findings.push({ path, detail });
  }
}

function acceptsNull(field: DescField): boolean {
  return field.message?.typeName === 'google.protobuf.Value' || field.enum?.typeName === 'google.protobuf.NullValue';
}
