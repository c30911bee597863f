import { type DescMessage, type JsonWriteOptions, toJson } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import type { ContractMessage } from './command.ts';
import type { Finding } from './diagnose.ts';
import type { JsonPath } from './json-path.ts';

/** Whether a message of this type can hold, at any depth, one of the other type. */
export function reachesType(root: DescMessage, typeName: string, seen = new Set<DescMessage>()): boolean {
  if (seen.has(root)) return false;
  seen.add(root);
  return (
    root.typeName === typeName ||
    root.fields.some((field) => field.message !== undefined && reachesType(field.message, typeName, seen))
  );
}

/**
 * Which part of a message has no JSON form: a Timestamp out of range, an Any of an unknown type, a Value without value.
 * Protobuf bytes can hold these. Runs on errors only.
 */
export function findUnwritable(
  type: DescMessage,
  message: ContractMessage,
  options: Partial<JsonWriteOptions>,
): Finding[] {
  return [descend(reflect(type, message), [], options)];
}

function descend(message: ReflectMessage, path: JsonPath, options: Partial<JsonWriteOptions>): Finding {
  for (const [place, child] of children(message)) {
    if (!isWritable(child, options)) return descend(child, [...path, ...place], options);
  }
  return { path, detail: `is a ${message.desc.typeName} that has no JSON form: ${reasonOf(message, options)}` };
}

function* children(message: ReflectMessage): Generator<[JsonPath, ReflectMessage]> {
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    if (field.fieldKind === 'message') yield [[field.jsonName], message.get(field)];
    if (field.fieldKind === 'list' && field.listKind === 'message') {
      for (const [index, item] of [...message.get(field)].entries())
        yield [[field.jsonName, index], item as ReflectMessage];
    }
    if (field.fieldKind === 'map' && field.mapKind === 'message') {
      for (const [key, item] of message.get(field)) yield [[field.jsonName, String(key)], item as ReflectMessage];
    }
  }
}

function isWritable(message: ReflectMessage, options: Partial<JsonWriteOptions>): boolean {
  return reasonOf(message, options) === null;
}

function reasonOf(message: ReflectMessage, options: Partial<JsonWriteOptions>): string | null {
  try {
    toJson(message.desc, message.message, options);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
