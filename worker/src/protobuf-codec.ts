import {
  createFileRegistry,
  type DescMessage,
  type DescMethod,
  type FileRegistry,
  fromBinary,
  fromJson,
  fromJsonString,
  type JsonValue,
  type Message,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { type Codec, type Encoded, isJsonType, JSON_TYPE, mediaType, unknownContentType } from './codec.ts';
import { CommandError } from './errors.ts';
import { decodeText, encodeText } from './headers.ts';

export interface ProtobufCodecOptions {
  /**
   * What handlers take and return. `json` (default): canonical proto3 JSON objects, whatever the record's encoding, so
   * that a command can be moved from JSON to protobuf without touching its handler. `message`: @bufbuild/protobuf messages.
   */
  readonly shape?: 'json' | 'message';
  /** What this worker sends to others in. Default `protobuf`. */
  readonly requests?: 'json' | 'protobuf';
}

const PROTOBUF_TYPE = 'application/protobuf';
const PROTOBUF_TYPES = [PROTOBUF_TYPE, 'application/x-protobuf', 'application/vnd.google.protobuf'];

/**
 * Reads and writes typed values by a descriptor set, as `buf build -o contract.binpb` makes it. Serves commands in JSON
 * too, then checked by type. Answers in the content type that the command came in.
 */
export function protobufCodec(contract: Uint8Array | FileRegistry, options: ProtobufCodecOptions = {}): Codec {
  const registry = contract instanceof Uint8Array ? readRegistry(contract) : contract;
  const asMessage = options.shape === 'message';
  const requestType = options.requests === 'json' ? JSON_TYPE : PROTOBUF_TYPE;
  const decode = (schema: DescMessage, encoded: Encoded) => {
    const message = decodeMessage(registry, schema, encoded);
    return asMessage ? message : toJson(schema, message, { registry });
  };
  const encode = (schema: DescMessage, value: unknown, contentType: string) =>
    encodeMessage(
      registry,
      schema,
      asMessage ? asMessageOf(value) : fromJson(schema, asJson(value), { registry }),
      contentType,
    );
  return {
    decodeRequest: (method, encoded) => decode(findMethod(registry, method).input, encoded),
    encodeResponse: (method, response, contentType) =>
      encode(findMethod(registry, method).output, response, contentType),
    encodeRequest: (method, request) => encode(findMethod(registry, method).input, request, requestType),
    decodeResponse: (method, encoded) => decode(findMethod(registry, method).output, encoded),
  };
}

function readRegistry(descriptorSet: Uint8Array): FileRegistry {
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptorSet));
}

function findMethod(registry: FileRegistry, method: string): DescMethod {
  const [service, name] = method.split('/');
  const found = registry.getService(service ?? '')?.methods.find((candidate) => candidate.name === name);
  if (!found) throw new CommandError('UNIMPLEMENTED', `the worker's contract has no method ${method}`);
  return found;
}

function decodeMessage(registry: FileRegistry, schema: DescMessage, encoded: Encoded): Message {
  const isProtobuf = PROTOBUF_TYPES.includes(mediaType(encoded.contentType));
  if (!isProtobuf && !isJsonType(encoded.contentType)) {
    throw unknownContentType(encoded.contentType, `${JSON_TYPE} or ${PROTOBUF_TYPE}`);
  }
  try {
    if (isProtobuf) return fromBinary(schema, encoded.value ?? new Uint8Array());
    const text = encoded.value?.length ? decodeText(encoded.value) : '{}';
    // A newer gateway may send fields that this worker's contract lacks: that is compatible.
    return fromJsonString(schema, text, { registry, ignoreUnknownFields: true });
  } catch (error) {
    throw new CommandError('INVALID_ARGUMENT', `the value is no ${schema.typeName}: ${(error as Error).message}`);
  }
}

function encodeMessage(registry: FileRegistry, schema: DescMessage, message: Message, contentType: string): Encoded {
  if (!isJsonType(contentType)) return { contentType: PROTOBUF_TYPE, value: toBinary(schema, message) };
  return { contentType: JSON_TYPE, value: encodeText(JSON.stringify(toJson(schema, message, { registry }))) };
}

function asJson(value: unknown): JsonValue {
  return (value ?? {}) as JsonValue;
}

function asMessageOf(value: unknown): Message {
  if (typeof value === 'object' && value !== null && '$typeName' in value) return value as Message;
  throw new TypeError('expected a message made by create() of @bufbuild/protobuf');
}
