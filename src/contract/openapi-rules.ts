/** Rules of buf.validate and google.api.field_behavior as JSON Schema. What has no straight equivalent there is left out. */

import { type DescField, type DescOneof, getOption, hasOption, type Registry, toJson } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';

export type Schema = { [keyword: string]: unknown };

/** buf.validate.FieldRules as canonical JSON: only what the contract says. */
interface FieldRules {
  readonly required?: boolean;
  readonly ignore?: string;
  readonly string?: Readonly<Record<string, unknown>>;
  readonly repeated?: Readonly<Record<string, unknown>> & { readonly items?: FieldRules };
  readonly map?: Readonly<Record<string, unknown>>;
  readonly [type: string]: unknown;
}

const REQUIRED = 2;
const OUTPUT_ONLY = 3;
const INPUT_ONLY = 4;

const NUMBER_TYPES = ['int32', 'sint32', 'sfixed32', 'uint32', 'fixed32', 'float', 'double'];
const STRING_FORMATS: Readonly<Record<string, string>> = {
  email: 'email',
  hostname: 'hostname',
  ipv4: 'ipv4',
  ipv6: 'ipv6',
  uri: 'uri',
  uriRef: 'uri-reference',
  uuid: 'uuid',
};

export class SchemaRules {
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** Keywords to add to the schema of the field. */
  ofField(field: DescField): Schema {
    const behaviors = this.#behaviorsOf(field);
    return {
      ...keywordsOf(this.#rulesOf(field)),
      ...(behaviors.includes(OUTPUT_ONLY) ? { readOnly: true } : {}),
      ...(behaviors.includes(INPUT_ONLY) ? { writeOnly: true } : {}),
    };
  }

  /** Keywords to add to the schema of an item of a list. */
  ofItem(field: DescField): Schema {
    const items = this.#rulesOf(field).repeated?.items;
    return items ? keywordsOf(items) : {};
  }

  /** Whether a request without the field is refused. */
  isRequired(field: DescField): boolean {
    const rules = this.#rulesOf(field);
    if (this.#behaviorsOf(field).includes(REQUIRED) || rules.required === true) return true;
    return !hasPresence(field) && rules.ignore === undefined && refusesDefault(rules);
  }

  /** Whether one member of the oneof has to be there. */
  isOneofRequired(oneof: DescOneof): boolean {
    const extension = this.#registry.getExtension('buf.validate.oneof');
    if (!extension || !hasOption(oneof, extension)) return false;
    return (getOption(oneof, extension) as unknown as { readonly required: boolean }).required;
  }

  #rulesOf(field: DescField): FieldRules {
    const extension = this.#registry.getExtension('buf.validate.field');
    if (!extension?.message || !hasOption(field, extension)) return {};
    return toJson(extension.message, getOption(field, extension) as never, { registry: this.#registry }) as FieldRules;
  }

  #behaviorsOf(field: DescField): readonly number[] {
    const extension = this.#registry.getExtension('google.api.field_behavior');
    if (!extension || !hasOption(field, extension)) return [];
    return getOption(field, extension) as unknown as readonly number[];
  }
}

/** Lists and maps have none: an empty one is an absent one. */
function hasPresence(field: DescField): boolean {
  return (
    field.presence !== FeatureSet_FieldPresence.IMPLICIT && field.fieldKind !== 'list' && field.fieldKind !== 'map'
  );
}

/** A field without presence is checked also where it is absent, as its default. */
function refusesDefault(rules: FieldRules): boolean {
  const { minLength = 0, minItems = 0, minProperties = 0 } = keywordsOf(rules) as Record<string, number>;
  return minLength > 0 || minItems > 0 || minProperties > 0;
}

function keywordsOf(rules: FieldRules): Schema {
  const schema: Schema = {};
  if (rules.string) addStringRules(schema, rules.string);
  for (const type of NUMBER_TYPES) if (rules[type]) addNumberRules(schema, rules[type] as Record<string, unknown>);
  if (rules.repeated) {
    addCount(schema, 'minItems', rules.repeated['minItems']);
    addCount(schema, 'maxItems', rules.repeated['maxItems']);
    if (rules.repeated['unique'] === true) schema['uniqueItems'] = true;
  }
  if (rules.map) {
    addCount(schema, 'minProperties', rules.map['minPairs']);
    addCount(schema, 'maxProperties', rules.map['maxPairs']);
  }
  return schema;
}

function addStringRules(schema: Schema, rules: Readonly<Record<string, unknown>>): void {
  addCount(schema, 'minLength', rules['len'] ?? rules['minLen']);
  addCount(schema, 'maxLength', rules['len'] ?? rules['maxLen']);
  if (isPortablePattern(rules['pattern'])) schema['pattern'] = rules['pattern'];
  if (Array.isArray(rules['in'])) schema['enum'] = rules['in'];
  if (rules['const'] !== undefined) schema['const'] = rules['const'];
  for (const [rule, format] of Object.entries(STRING_FORMATS)) if (rules[rule] === true) schema['format'] = format;
}

/** RE2 and ECMA-262 agree on most; what only RE2 knows is not shown. */
function isPortablePattern(pattern: unknown): pattern is string {
  if (typeof pattern !== 'string') return false;
  try {
    new RegExp(pattern, 'u');
    return true;
  } catch {
    return false;
  }
}

function addNumberRules(schema: Schema, rules: Readonly<Record<string, unknown>>): void {
  const { gt, gte, lt, lte } = rules as Readonly<Record<string, number | undefined>>;
  const lower = gt ?? gte;
  const upper = lt ?? lte;
  // A lower bound above the upper one means everything outside of the two.
  if (lower !== undefined && upper !== undefined && lower > upper) return;
  if (gt !== undefined) schema['exclusiveMinimum'] = gt;
  if (gte !== undefined) schema['minimum'] = gte;
  if (lt !== undefined) schema['exclusiveMaximum'] = lt;
  if (lte !== undefined) schema['maximum'] = lte;
}

/** 64-bit counts are texts in canonical JSON. */
function addCount(schema: Schema, keyword: string, value: unknown): void {
  if (value !== undefined) schema[keyword] = Number(value);
}
