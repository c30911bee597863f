import {
  create,
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  type JsonWriteOptions,
  type Registry,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { Failure } from '../runtime/failure.ts';
import type { ContractMessage, Policy } from './command.ts';
import { diagnoseJson } from './diagnose.ts';
import type { HttpBinding } from './http-rule.ts';
import { reachesType } from './unwritable.ts';

/** A worker's message may nest deeper than what callers may send. */
const REPLY_MAX_DEPTH = 100;

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * Replies of one command: read with tolerance for a newer worker (unknown fields are dropped, and counted), written as
 * canonical JSON or protobuf.
 */
export class ReplyCodec {
  readonly replyType: DescMessage;
  readonly #registry: Registry;
  readonly #defaultEncoding: Policy['encoding'];
  readonly #json: Partial<JsonWriteOptions>;
  #droppedFields = 0;

  constructor(options: { readonly replyType: DescMessage; readonly policy: Policy; readonly registry: Registry }) {
    this.replyType = options.replyType;
    this.#registry = options.registry;
    this.#defaultEncoding = options.policy.encoding;
    this.#json = reachesType(this.replyType, 'google.protobuf.Any') ? { registry: options.registry } : {};
  }

  get droppedReplyFields(): number {
    return this.#droppedFields;
  }

  replyFromWire(value: Uint8Array | null, contentType: string | null): ContractMessage {
    if (value === null || value.length === 0) return create(this.replyType);
    const encoding = this.#encodingOf(contentType);
    if (encoding === null) throw this.#refuse(`a reply in "${contentType}", expected JSON or protobuf`);
    return encoding === 'json' ? this.#replyFromJson(value) : this.replyFromBinary(value);
  }

  #encodingOf(contentType: string | null): Policy['encoding'] | null {
    if (contentType === null || contentType === 'application/json') return contentType ? 'json' : this.#defaultEncoding;
    const mediaType = contentType.split(';', 1)[0]!.trim().toLowerCase();
    if (/^(application|text)\/(.+\+)?json$/.test(mediaType)) return 'json';
    if (/^application\/(x-|vnd\.google\.)?protobuf$/.test(mediaType)) return 'protobuf';
    // What serializers say of bytes or text that they know nothing about.
    const tellsNothing = ['', 'application/octet-stream', 'text/plain', 'application/grpc', 'application/grpc+proto'];
    return tellsNothing.includes(mediaType) ? this.#defaultEncoding : null;
  }

  #replyFromJson(bytes: Uint8Array): ContractMessage {
    const value = this.#parse(bytes);
    if (value === null) return create(this.replyType);
    const options = { registry: this.#registry, recursionLimit: REPLY_MAX_DEPTH };
    try {
      return fromJson(this.replyType, value, options);
    } catch {
      return this.#replyWithoutUnknown(value);
    }
  }

  #replyWithoutUnknown(value: JsonValue): ContractMessage {
    const options = { registry: this.#registry, recursionLimit: REPLY_MAX_DEPTH, ignoreUnknownFields: true };
    try {
      const message = fromJson(this.replyType, value, options);
      this.#droppedFields += Math.max(1, this.#diagnose(value).filter((finding) => finding.unknownField).length);
      return message;
    } catch (cause) {
      const finding = this.#diagnose(value).find((each) => !each.unknownField);
      const place = finding?.path.length ? `#/${finding.path.join('/')} ` : '';
      throw this.#refuse(`a reply that is no ${this.replyType.typeName}: ${place}${finding?.detail ?? ''}`, cause);
    }
  }

  #diagnose(value: JsonValue) {
    return diagnoseJson(this.replyType, value, { registry: this.#registry, maxDepth: REPLY_MAX_DEPTH });
  }

  #parse(bytes: Uint8Array): JsonValue {
    try {
      return JSON.parse(decoder.decode(bytes));
    } catch (cause) {
      throw this.#refuse('a reply that is not JSON in UTF-8', cause);
    }
  }

  replyFromBinary(bytes: Uint8Array): ContractMessage {
    try {
      const message = fromBinary(this.replyType, bytes, { recursionLimit: REPLY_MAX_DEPTH });
      this.#droppedFields += countUnknown(message);
      return message;
    } catch (cause) {
      throw this.#refuse(`a reply that is no ${this.replyType.typeName} in protobuf`, cause);
    }
  }

  replyToJson(message: ContractMessage, binding?: HttpBinding): string {
    try {
      const field = binding?.responseBody;
      const json = field ? this.#fieldToJson(message, field) : toJson(this.replyType, message, this.#json);
      return JSON.stringify(json);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw this.#refuse(`a reply that has no JSON form: ${reason}`, cause);
    }
  }

  /** A field that is not set is its default: `[]`, `{}`, `0`, `""`; `null` where it has none. */
  #fieldToJson(message: ContractMessage, field: DescField): JsonValue {
    const members = toJson(this.replyType, message, this.#json) as Readonly<Record<string, JsonValue>>;
    const set = members[field.jsonName];
    if (set !== undefined) return set;
    const empty = toJson(this.replyType, create(this.replyType), { ...this.#json, alwaysEmitImplicit: true });
    return (empty as Readonly<Record<string, JsonValue>>)[field.jsonName] ?? null;
  }

  replyToBinary(message: ContractMessage): Buffer {
    const bytes = toBinary(this.replyType, message, { writeUnknownFields: false });
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #refuse(detail: string, cause?: unknown): Failure {
    return new Failure('REPLY_INVALID', `the worker sent ${detail}`, { delivery: 'unknown', cause });
  }
}

function countUnknown(value: unknown): number {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return 0;
  let count = 0;
  for (const [key, member] of Object.entries(value)) {
    count += key === '$unknown' && Array.isArray(member) ? member.length : countUnknown(member);
  }
  return count;
}
