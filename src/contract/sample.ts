/** A request that looks like one, for lines to try. It fits the types; rules of the contract may still refuse it. */

import { type DescField, type DescMessage, type JsonValue, ScalarType } from '@bufbuild/protobuf';
import type { Command } from './command.ts';
import { hasTextForm } from './field-path.ts';

type Sample = Record<string, JsonValue>;

/** Requests that the workers of the examples answer well. */
const KNOWN: Readonly<Record<string, Sample>> = Object.freeze({
  'orders.v1.Orders/CreateOrder': { customerId: 'c1', items: [{ sku: 'BOOK', quantity: 1 }] },
});

const MAX_DEPTH = 3;

/** Canonical JSON of a request: each field once, of a oneof the first member. */
export function sampleRequest(command: Command): Sample {
  return KNOWN[command.name] ?? sampleMessage(command.codec.requestType, 0);
}

function sampleMessage(message: DescMessage, depth: number): Sample {
  const fields = message.fields.filter((field) => field.oneof === undefined || field.oneof.fields[0] === field);
  return Object.fromEntries(
    fields.flatMap((field) => {
      const value = sampleField(field, depth);
      return value === undefined ? [] : [[field.jsonName, value] as const];
    }),
  );
}

/** Undefined: better left out. */
function sampleField(field: DescField, depth: number): JsonValue | undefined {
  if (field.fieldKind === 'map') return undefined;
  const value = sampleValue(field, depth);
  return field.fieldKind === 'list' && value !== undefined ? [value] : value;
}

function sampleValue(field: DescField, depth: number): JsonValue | undefined {
  if (field.enum) return (field.enum.values[1] ?? field.enum.values[0])?.name;
  if (field.message) return sampleNested(field.message, depth);
  switch (field.scalar) {
    case ScalarType.STRING:
      return 'text';
    case ScalarType.BOOL:
      return true;
    case ScalarType.BYTES:
      return 'AA==';
    default:
      return 1;
  }
}

function sampleNested(message: DescMessage, depth: number): JsonValue | undefined {
  if (message.typeName === 'google.protobuf.Timestamp') return '2026-01-31T12:00:00Z';
  if (message.typeName === 'google.protobuf.Duration') return '1s';
  if (hasTextForm(message) || message.typeName.startsWith('google.protobuf.') || depth >= MAX_DEPTH) return undefined;
  return sampleMessage(message, depth + 1);
}
