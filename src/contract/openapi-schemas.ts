/** Messages and enums as JSON Schema 2020-12, in the form of canonical proto3 JSON (protobuf.dev/programming-guides/json). */

import { type DescEnum, type DescField, type DescMessage, type DescOneof, ScalarType } from '@bufbuild/protobuf';
import { isWrapper } from './field-path.ts';
import type { Schema, SchemaRules } from './openapi-rules.ts';
import { commentOf } from './source-info.ts';

const DURATION_PATTERN = '^-?[0-9]{1,12}(\\.[0-9]{1,9})?s$';

const WELL_KNOWN: Readonly<Record<string, Schema>> = {
  'google.protobuf.Any': {
    type: 'object',
    description: 'A message of any type of the contract: its type, and its own fields beside it.',
    properties: { '@type': { type: 'string', description: 'URL whose last part is the name of the type.' } },
    required: ['@type'],
  },
  'google.protobuf.Duration': { type: 'string', pattern: DURATION_PATTERN, description: 'Seconds, such as `1.5s`.' },
  'google.protobuf.Empty': { type: 'object', description: 'An object without fields.' },
  'google.protobuf.FieldMask': {
    type: 'string',
    description: 'Field paths with commas between, such as `name,author.born`.',
  },
  'google.protobuf.ListValue': { type: 'array', items: {} },
  'google.protobuf.Struct': { type: 'object' },
  'google.protobuf.Timestamp': { type: 'string', format: 'date-time' },
  'google.protobuf.Value': { description: 'Any JSON value.' },
};

const SCALARS: Readonly<Record<ScalarType, Schema>> = {
  [ScalarType.DOUBLE]: { type: 'number', format: 'double' },
  [ScalarType.FLOAT]: { type: 'number', format: 'float' },
  [ScalarType.INT64]: { type: 'string', format: 'int64' },
  [ScalarType.SINT64]: { type: 'string', format: 'int64' },
  [ScalarType.SFIXED64]: { type: 'string', format: 'int64' },
  [ScalarType.UINT64]: { type: 'string', format: 'uint64' },
  [ScalarType.FIXED64]: { type: 'string', format: 'uint64' },
  [ScalarType.INT32]: { type: 'integer', format: 'int32' },
  [ScalarType.SINT32]: { type: 'integer', format: 'int32' },
  [ScalarType.SFIXED32]: { type: 'integer', format: 'int32' },
  [ScalarType.UINT32]: { type: 'integer', minimum: 0, maximum: 4294967295 },
  [ScalarType.FIXED32]: { type: 'integer', minimum: 0, maximum: 4294967295 },
  [ScalarType.BOOL]: { type: 'boolean' },
  [ScalarType.STRING]: { type: 'string' },
  [ScalarType.BYTES]: { type: 'string', contentEncoding: 'base64' },
};

/** Collects the schemas that are referred to; each message and enum once, under its full name. */
export class SchemaBook {
  readonly #rules: SchemaRules;
  readonly #schemas = new Map<string, Schema>();

  constructor(rules: SchemaRules) {
    this.#rules = rules;
  }

  /** All collected schemas, sorted by name. */
  get schemas(): Record<string, Schema> {
    return Object.fromEntries([...this.#schemas].sort(([left], [right]) => (left < right ? -1 : 1)));
  }

  /** A reference, or the schema itself where the type is so small that a name would hide it. */
  ofMessage(message: DescMessage): Schema {
    if (isWrapper(message)) return nullable(this.ofValue(message.fields[0]!));
    const known = WELL_KNOWN[message.typeName];
    if (known) return known;
    if (!this.#schemas.has(message.typeName)) {
      // The place is taken first: the message may reach itself.
      this.#schemas.set(message.typeName, {});
      this.#schemas.set(message.typeName, this.objectOf(message));
    }
    return { $ref: `#/components/schemas/${message.typeName}` };
  }

  /** The object itself, without a name. @param without local names of fields that come another way. */
  objectOf(message: DescMessage, without: ReadonlySet<DescField> = new Set()): Schema {
    const fields = message.fields.filter((field) => !without.has(field));
    const required = fields.filter((field) => this.#rules.isRequired(field)).map((field) => field.jsonName);
    const choices = message.oneofs.flatMap((oneof) => this.#choiceOf(oneof, without) ?? []);
    return {
      type: 'object',
      ...describe(commentOf(message)),
      properties: Object.fromEntries(fields.map((field) => [field.jsonName, this.ofField(field)])),
      ...(required.length > 0 ? { required } : {}),
      ...(choices.length > 0 ? { allOf: choices } : {}),
    };
  }

  /** With the field's comment and rules. */
  ofField(field: DescField): Schema {
    const schema = { ...this.#shapeOf(field), ...this.#rules.ofField(field), ...describe(commentOf(field)) };
    return field.proto.options?.deprecated ? { ...schema, deprecated: true } : schema;
  }

  /** Of one value: an item of a list, a value of a map. */
  ofValue(field: DescField): Schema {
    if (field.message) return this.ofMessage(field.message);
    if (field.enum) return this.#ofEnum(field.enum);
    return SCALARS[field.scalar!];
  }

  #shapeOf(field: DescField): Schema {
    if (field.fieldKind === 'map') return { type: 'object', additionalProperties: this.ofValue(field) };
    if (field.fieldKind === 'list')
      return { type: 'array', items: { ...this.ofValue(field), ...this.#rules.ofItem(field) } };
    return this.ofValue(field);
  }

  #ofEnum(descriptor: DescEnum): Schema {
    if (descriptor.typeName === 'google.protobuf.NullValue') return { type: 'null' };
    const names = descriptor.values.map((value) => value.name);
    this.#schemas.set(descriptor.typeName, { type: 'string', enum: names, ...describe(describeValues(descriptor)) });
    return { $ref: `#/components/schemas/${descriptor.typeName}` };
  }

  /** At most one member, or exactly one where the contract says so; null where one or none is left to choose from. */
  #choiceOf(oneof: DescOneof, without: ReadonlySet<DescField>): Schema | null {
    const names = oneof.fields.filter((field) => !without.has(field)).map((field) => field.jsonName);
    const isRequired = this.#rules.isOneofRequired(oneof);
    if (names.length < 2 && !isRequired) return null;
    const each = names.map((name) => ({ required: [name] }));
    return { oneOf: isRequired ? each : [...each, { not: { anyOf: each } }] };
  }
}

export function describe(description: string): Schema {
  return description === '' ? {} : { description };
}

/** `null` is a wrapper that is not there. */
function nullable(schema: Schema): Schema {
  return { ...schema, type: [schema['type'], 'null'] };
}

/** A line for each value that has a comment. */
function describeValues(descriptor: DescEnum): string {
  return descriptor.values
    .flatMap((value) => {
      const comment = commentOf(value);
      return comment === '' ? [] : [`- \`${value.name}\`: ${comment.replaceAll('\n', ' ')}`];
    })
    .join('\n');
}
