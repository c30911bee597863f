/** Options of a method, read by the definitions that the descriptor set itself has of them. */

import { type DescMethod, getOption, hasOption, type Message, type Registry, toJson } from '@bufbuild/protobuf';

/** Null where the method lacks it, or where nobody imported its definition. */
function readOption(registry: Registry, method: DescMethod, name: string): Message | null {
  const extension = registry.getExtension(name);
  if (extension?.extendee.typeName !== 'google.protobuf.MethodOptions' || !hasOption(method, extension)) return null;
  return getOption(method, extension) as unknown as Message;
}

/** `google.api.http`, a google.api.HttpRule. */
export function readHttpOption(registry: Registry, method: DescMethod): Message | null {
  return readOption(registry, method, 'google.api.http');
}

/** `(sluice.v1.command)` with its proto names, as a config would write it; empty where there is none. */
export function readCommandOption(registry: Registry, method: DescMethod): unknown {
  const option = readOption(registry, method, 'sluice.v1.command');
  if (!option) return {};
  return toJson(registry.getMessage(option.$typeName)!, option, { useProtoFieldName: true });
}

/** `response_type` of google.longrunning.operation_info; null where the method says nothing. */
export function readOperationResponseType(registry: Registry, method: DescMethod): string | null {
  const info = readOption(registry, method, 'google.longrunning.operation_info');
  const { responseType } = (info ?? {}) as { readonly responseType?: string };
  return responseType ? responseType : null;
}
