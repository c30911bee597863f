import { type DescMessage, type JsonValue, type JsonWriteOptions, toBinary, toJson } from '@bufbuild/protobuf';
import type { ContractMessage } from './command.ts';

/**
 * The same bytes for equal messages. Protobuf does not promise an order of map entries, so that types with a map in them
 * are written as JSON with sorted names instead. To hash, not to send.
 */
export function fingerprintOf(
  type: DescMessage,
  message: ContractMessage,
  jsonOptions: Partial<JsonWriteOptions>,
): Uint8Array {
  if (!hasMaps(type)) return toBinary(type, message);
  try {
    return Buffer.from(writeSorted(toJson(type, message, jsonOptions)));
  } catch {
    // No JSON form: an Any of a type that the contract lacks, passed on as protobuf.
    return toBinary(type, message);
  }
}

const known = new WeakMap<DescMessage, boolean>();

function hasMaps(type: DescMessage): boolean {
  const answer = known.get(type);
  if (answer !== undefined) return answer;
  const found = reachesMap(type, new Set());
  known.set(type, found);
  return found;
}

/** An Any may hold a message that has one. */
function reachesMap(type: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(type)) return false;
  seen.add(type);
  if (type.typeName === 'google.protobuf.Any') return true;
  return type.fields.some(
    (field) => field.fieldKind === 'map' || (field.message !== undefined && reachesMap(field.message, seen)),
  );
}

function writeSorted(value: JsonValue): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(writeSorted).join()}]`;
  const members = Object.keys(value).sort();
  return `{${members.map((name) => `${JSON.stringify(name)}:${writeSorted(value[name]!)}`).join()}}`;
}
