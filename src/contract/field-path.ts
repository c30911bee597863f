import type { DescField, DescMessage } from '@bufbuild/protobuf';
import type { FieldPath } from './command.ts';
import { suggestName } from './nearest.ts';

/** A field by its proto name or its JSON name. */
export function findField(message: DescMessage, name: string): DescField | undefined {
  return message.fields.find((field) => field.name === name) ?? message.fields.find((field) => field.jsonName === name);
}

const WRAPPERS = new Set(
  ['Double', 'Float', 'Int64', 'UInt64', 'Int32', 'UInt32', 'Bool', 'String', 'Bytes'].map(
    (name) => `google.protobuf.${name}Value`,
  ),
);

/** google.protobuf.StringValue and its like. */
export function isWrapper(message: DescMessage): boolean {
  return WRAPPERS.has(message.typeName);
}

/** Messages whose JSON form is one text or scalar. */
export function hasTextForm(message: DescMessage): boolean {
  return (
    isWrapper(message) ||
    message.typeName === 'google.protobuf.Timestamp' ||
    message.typeName === 'google.protobuf.Duration' ||
    message.typeName === 'google.protobuf.FieldMask'
  );
}

/** A value that a path segment or one query parameter can hold. */
export function isLeaf(field: DescField): boolean {
  if (field.fieldKind === 'scalar' || field.fieldKind === 'enum') return true;
  if (field.fieldKind === 'message') return hasTextForm(field.message);
  return field.fieldKind === 'list' && (field.message === undefined || hasTextForm(field.message));
}

/**
 * A path of proto (or JSON) names through singular messages to a singular scalar or enum.
 * @returns what is wrong with it, as text, where it is none.
 */
export function resolveFieldPath(root: DescMessage, text: string): FieldPath | string {
  const fields: DescField[] = [];
  let message: DescMessage | undefined = root;
  for (const name of text.split('.')) {
    if (!message) return `"${fields.at(-1)!.name}" has no fields, expected it last in "${text}"`;
    const field: DescField | undefined = findField(message, name);
    if (!field) return unknownField(message, name);
    if (field.fieldKind === 'list') return `"${name}" is repeated, expected a singular field`;
    if (field.fieldKind === 'map') return `"${name}" is a map, expected a singular field`;
    fields.push(field);
    message = field.fieldKind === 'message' ? field.message : undefined;
  }
  if (message) return `"${text}" is the message ${message.typeName}, expected a scalar field`;
  return Object.freeze({ text, fields });
}

function unknownField(message: DescMessage, name: string): string {
  const known = message.fields.map((field) => field.name);
  return `"${name}" is no field of ${message.typeName}${suggestName(name, known)}`;
}
