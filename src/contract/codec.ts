import {
  type DescMessage,
  fromBinary,
  fromJson,
  isFieldSet,
  type JsonValue,
  type JsonWriteOptions,
  type Registry,
  ScalarType,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { Failure } from '../runtime/failure.ts';
import type { CommandCodec, ContractMessage, EncodedValue, FieldPath, Policy } from './command.ts';
import { diagnoseJson, type Finding } from './diagnose.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { HttpBinding } from './http-rule.ts';
import { refuseBadTexts } from './json-body.ts';
import { locateViolation } from './json-path.ts';
import { ReplyCodec } from './reply-codec.ts';
import { type StrictCheck, strictMessageCheck } from './strict-json.ts';
import { findUnwritable, reachesType } from './unwritable.ts';
import { type MessageCheck, type RuleBook, readField } from './validate.ts';

export interface CodecOptions {
  readonly requestType: DescMessage;
  readonly replyType: DescMessage;
  readonly policy: Policy;
  /** For google.protobuf.Any and for extensions. */
  readonly registry: Registry;
  readonly rules: RuleBook;
  /** How deep messages may nest in one another. */
  readonly maxDepth: number;
}

/** The codec of one command. Replies are `ReplyCodec`'s. */
export class Codec extends ReplyCodec implements CommandCodec {
  readonly requestType: DescMessage;
  readonly #policy: Policy;
  readonly #registry: Registry;
  readonly #maxDepth: number;
  readonly #strictCheck: StrictCheck | null;
  readonly #rules: MessageCheck | null;
  readonly #recordJson: Partial<JsonWriteOptions>;
  readonly #callerJson: Partial<JsonWriteOptions>;
  readonly #readJson: { readonly registry: Registry; readonly recursionLimit: number };
  readonly #readBinary: { readonly readUnknownFields: boolean; readonly recursionLimit: number };

  constructor(options: CodecOptions) {
    super(options);
    const { requestType, policy, registry, maxDepth } = options;
    this.requestType = requestType;
    this.#policy = policy;
    this.#registry = registry;
    this.#maxDepth = maxDepth;
    this.#strictCheck = strictMessageCheck(requestType);
    this.#rules = options.rules.checkOf(requestType);
    this.#callerJson = reachesType(requestType, 'google.protobuf.Any') ? { registry } : {};
    this.#recordJson = {
      ...this.#callerJson,
      alwaysEmitImplicit: policy.json.emitDefaults,
      useProtoFieldName: policy.json.names === 'proto',
    };
    this.#readJson = { registry, recursionLimit: maxDepth };
    // JSON has no place for them, and who asked for protobuf wants what the caller sent.
    this.#readBinary = { readUnknownFields: policy.encoding === 'protobuf', recursionLimit: maxDepth };
  }

  requestFromJson(value: JsonValue, binding?: HttpBinding): ContractMessage {
    let message: ContractMessage;
    try {
      message = fromJson(this.requestType, value, this.#readJson);
    } catch (cause) {
      throw this.#refuseJson(value, binding, cause);
    }
    // After the decoder, which has bounded how deep the value nests.
    if (this.#strictCheck && !this.#strictCheck(value)) throw this.#refuseJson(value, binding, undefined);
    return message;
  }

  #refuseJson(value: JsonValue, binding: HttpBinding | undefined, cause: unknown): Failure {
    const findings = diagnoseJson(this.requestType, value, { registry: this.#registry, maxDepth: this.#maxDepth });
    return this.#refuse(findings, binding, cause);
  }

  #refuse(findings: readonly Finding[], binding: HttpBinding | undefined, cause?: unknown): Failure {
    const violations = findings.map(({ path, detail }) => locateViolation(path, detail, binding));
    return new Failure('REQUEST_INVALID', `the request is not a valid ${this.requestType.typeName}`, {
      violations,
      cause,
    });
  }

  requestFromBinary(bytes: Uint8Array): ContractMessage {
    let message: ContractMessage;
    try {
      message = fromBinary(this.requestType, bytes, this.#readBinary);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Failure(
        'REQUEST_MALFORMED',
        `the request is not a ${this.requestType.typeName} in protobuf: ${reason}`,
        {
          violations: [{ pointer: '#', detail: reason }],
          cause,
        },
      );
    }
    if (bytes.includes(0)) this.#refuseNul(message);
    return message;
  }

  #refuseNul(message: ContractMessage): void {
    let json: JsonValue;
    try {
      json = toJson(this.requestType, message, this.#callerJson);
    } catch {
      // What has no JSON form is told by `encodeRequest`, where that matters.
      return;
    }
    refuseBadTexts(json);
  }

  validateRequest(message: ContractMessage, binding?: HttpBinding): void {
    if (!this.#rules) return;
    const findings = this.#rules(message);
    if (findings.length > 0) throw this.#refuse(findings, binding);
  }

  encodeRequest(message: ContractMessage): EncodedValue {
    if (this.#policy.encoding === 'protobuf') {
      return { value: toBinary(this.requestType, message), contentType: 'application/protobuf' };
    }
    return { value: Buffer.from(this.#writeJson(message, this.#recordJson)), contentType: 'application/json' };
  }

  requestToJson(message: ContractMessage): string {
    return this.#writeJson(message, this.#callerJson);
  }

  #writeJson(message: ContractMessage, options: Partial<JsonWriteOptions>): string {
    try {
      return JSON.stringify(toJson(this.requestType, message, options));
    } catch (cause) {
      throw this.#refuse(findUnwritable(this.requestType, message, options), undefined, cause);
    }
  }

  requestFingerprint(message: ContractMessage): Uint8Array {
    return fingerprintOf(this.requestType, message, this.#callerJson);
  }

  keyOf(message: ContractMessage): Uint8Array | null {
    return this.#policy.key ? readKey(message, this.#policy.key) : null;
  }
}

function readKey(root: ContractMessage, path: FieldPath): Uint8Array | null {
  let message = root;
  for (const field of path.fields.slice(0, -1)) {
    const child = readField(message, field);
    if (child === undefined || child === null) return null;
    message = child as ContractMessage;
  }
  const field = path.fields.at(-1)!;
  if (!isFieldSet(message, field)) return null;
  const value = readField(message, field);
  if (field.scalar === ScalarType.BYTES) return value as Uint8Array;
  const text = field.enum ? (field.enum.value[value as number]?.name ?? String(value)) : String(value);
  return Buffer.from(text);
}
