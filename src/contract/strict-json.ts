/**
 * What @bufbuild/protobuf lets through and the proto3 JSON specification does not: `"0x10"` and `""` as integers, numbers
 * beyond 2^53 (which JSON.parse has rounded by then), `"3sx"` as Duration, 30 February as Timestamp, blanks in base64.
 * A check is compiled once for each message type and looks at no field that cannot go wrong in these ways.
 */

import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { isWrapper } from './field-path.ts';

/** Whether a JSON value that the decoder has accepted is one that the specification accepts too. */
export type StrictCheck = (value: unknown) => boolean;

const INTEGER = /^-?[0-9]+(?:\.0+)?(?:[eE]\+?[0-9]+)?$/;
const LONG_INTEGER = /^-?[0-9]+$/;
const DECIMAL = /^(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|NaN|-?Infinity)$/;
const BASE64 = /^[-A-Za-z0-9+/_]*={0,2}$/;
const DURATION = /^-?[0-9]+(?:\.[0-9]{1,9})?s$/;
const TIMESTAMP =
  /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[-+](?:[01]\d|2[0-3]):[0-5]\d)$/;

const isText = (value: unknown): value is string => typeof value === 'string';
const checkText =
  (pattern: RegExp): StrictCheck =>
  (value) =>
    !isText(value) || pattern.test(value);

const checkLong: StrictCheck = (value) =>
  isText(value) ? LONG_INTEGER.test(value) : typeof value !== 'number' || Number.isSafeInteger(value);

/** The check of one scalar value; null where every accepted value is right. */
export function strictScalarCheck(scalar: ScalarType): StrictCheck | null {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BOOL:
      return null;
    case ScalarType.BYTES:
      return checkText(BASE64);
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return checkText(DECIMAL);
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return checkLong;
    default:
      return checkText(INTEGER);
  }
}

const checkTimestamp: StrictCheck = (value) => {
  if (!isText(value)) return true;
  const match = TIMESTAMP.exec(value);
  return match !== null && isCalendarDay(Number(match[1]), Number(match[2]), Number(match[3]));
};

function isCalendarDay(year: number, month: number, day: number): boolean {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
}

const compiled = new WeakMap<DescMessage, StrictCheck | null>();

/** The check of a whole message; null where nothing in it needs one. */
export function strictMessageCheck(message: DescMessage): StrictCheck | null {
  const known = compiled.get(message);
  if (known !== undefined) return known;
  const check = needsCheck(message, new Set()) ? compileMessage(message) : null;
  compiled.set(message, check);
  return check;
}

function needsCheck(message: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(message)) return false;
  seen.add(message);
  if (customCheck(message) !== undefined) return customCheck(message) !== null;
  return message.fields.some((field) =>
    field.message ? needsCheck(field.message, seen) : !field.enum && strictScalarCheck(field.scalar!) !== null,
  );
}

/** For types whose JSON form is not an object of their fields; undefined for all others. */
function customCheck(message: DescMessage): StrictCheck | null | undefined {
  if (!message.typeName.startsWith('google.protobuf.')) return undefined;
  if (isWrapper(message)) return strictScalarCheck(message.fields[0]!.scalar!);
  switch (message.typeName) {
    case 'google.protobuf.Timestamp':
      return checkTimestamp;
    case 'google.protobuf.Duration':
      return checkText(DURATION);
    case 'google.protobuf.FieldMask':
    case 'google.protobuf.Struct':
    case 'google.protobuf.Value':
    case 'google.protobuf.ListValue':
    case 'google.protobuf.Any':
      return null;
    default:
      return undefined;
  }
}

interface FieldCheck {
  readonly jsonName: string;
  readonly name: string;
  readonly check: StrictCheck;
}

function compileMessage(message: DescMessage): StrictCheck {
  const custom = customCheck(message);
  if (custom) return custom;
  const fields: FieldCheck[] = [];
  const check: StrictCheck = (value) => typeof value !== 'object' || value === null || checkFields(fields, value);
  // Before its fields are compiled, so that a recursive type finds itself.
  compiled.set(message, check);
  for (const field of message.fields) {
    const fieldCheck = compileField(field);
    if (fieldCheck) fields.push({ jsonName: field.jsonName, name: field.name, check: fieldCheck });
  }
  return check;
}

function checkFields(fields: readonly FieldCheck[], value: object): boolean {
  const object = value as Readonly<Record<string, unknown>>;
  for (const { jsonName, name, check } of fields) {
    const member = object[jsonName] ?? object[name];
    if (member !== undefined && member !== null && !check(member)) return false;
  }
  return true;
}

function compileField(field: DescField): StrictCheck | null {
  const check = field.message
    ? strictMessageCheck(field.message)
    : field.enum
      ? null
      : strictScalarCheck(field.scalar!);
  if (!check) return null;
  if (field.fieldKind === 'list') return (value) => !Array.isArray(value) || value.every(check);
  if (field.fieldKind === 'map') {
    return (value) => typeof value !== 'object' || value === null || Object.values(value).every(check);
  }
  return check;
}
