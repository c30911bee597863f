/** Words for what a field takes, for violations. */

import { type DescEnum, type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { isWrapper } from './field-path.ts';

const SCALAR_WORDS: Readonly<Record<ScalarType, string>> = {
  [ScalarType.DOUBLE]: 'a number, "NaN", "Infinity" or "-Infinity"',
  [ScalarType.FLOAT]: 'a number within 32-bit floating point, "NaN", "Infinity" or "-Infinity"',
  [ScalarType.INT64]: 'a whole 64-bit number, as a string where it is beyond 2^53',
  [ScalarType.SINT64]: 'a whole 64-bit number, as a string where it is beyond 2^53',
  [ScalarType.SFIXED64]: 'a whole 64-bit number, as a string where it is beyond 2^53',
  [ScalarType.UINT64]: 'a whole 64-bit number that is not negative, as a string where it is beyond 2^53',
  [ScalarType.FIXED64]: 'a whole 64-bit number that is not negative, as a string where it is beyond 2^53',
  [ScalarType.INT32]: 'a whole number from -2147483648 to 2147483647',
  [ScalarType.SINT32]: 'a whole number from -2147483648 to 2147483647',
  [ScalarType.SFIXED32]: 'a whole number from -2147483648 to 2147483647',
  [ScalarType.UINT32]: 'a whole number from 0 to 4294967295',
  [ScalarType.FIXED32]: 'a whole number from 0 to 4294967295',
  [ScalarType.BOOL]: 'true or false',
  [ScalarType.STRING]: 'a string of Unicode text',
  [ScalarType.BYTES]: 'base64 text',
};

const MESSAGE_WORDS: Readonly<Record<string, string>> = {
  'google.protobuf.Timestamp': 'an RFC 3339 time from year 1 to 9999, such as "2026-01-31T12:00:00Z"',
  'google.protobuf.Duration': 'seconds with at most nine decimals and an s, such as "1.5s"',
  'google.protobuf.FieldMask': 'lowerCamelCase field paths with commas between, such as "name,author.born"',
  'google.protobuf.Struct': 'an object',
  'google.protobuf.ListValue': 'an array',
  'google.protobuf.Value': 'a JSON value',
  'google.protobuf.Any': 'an object with "@type" of a message that the contract has, and its fields',
};

const MAX_ENUM_NAMES = 12;

/** What one value of the field (an item, for lists and maps) may be. */
export function describeExpected(field: DescField): string {
  if (field.message) return describeExpectedMessage(field.message);
  if (field.enum) return describeExpectedEnum(field.enum);
  return describeExpectedScalar(field.scalar!);
}

export function describeExpectedScalar(scalar: ScalarType): string {
  return SCALAR_WORDS[scalar];
}

export function describeExpectedMessage(message: DescMessage): string {
  if (isWrapper(message)) return describeExpected(message.fields[0]!);
  return MESSAGE_WORDS[message.typeName] ?? 'an object';
}

function describeExpectedEnum(descriptor: DescEnum): string {
  const names = descriptor.values.map((value) => value.name);
  const shown = names.slice(0, MAX_ENUM_NAMES).join(', ');
  return `one of ${shown}${names.length > MAX_ENUM_NAMES ? ', …' : ''}, or its number`;
}

const MAX_SHOWN = 40;

/** A short form of a JSON value, for "got …". */
export function describeValue(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? 'nothing');
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN).toWellFormed()}…` : text;
}
