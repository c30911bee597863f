import type { DescField, DescMessage, DescMethod, JsonValue, Message } from '@bufbuild/protobuf';
import type { HttpBinding } from './http-rule.ts';

export type { DescField, DescFile, DescMessage, DescMethod, DescService, JsonValue } from '@bufbuild/protobuf';

export type MethodKind = 'unary' | 'server_streaming' | 'client_streaming' | 'bidi_streaming';

/** A decoded request or reply. Opaque to all but this folder. */
export type ContractMessage = Message;

/** A way from a message to one of its fields, through singular message fields only. */
export interface FieldPath {
  /** Proto names with dots: `order.customer_id`. */
  readonly text: string;
  /** Never empty; all but the last are singular messages. */
  readonly fields: readonly DescField[];
}

/** How a command is carried. Frozen, all defaults filled in. */
export interface Policy {
  /** With the namespace. */
  readonly topic: string;
  readonly key: FieldPath | null;
  /** Not above `maxWaitMs` nor `timeoutMs`. */
  readonly waitMs: number;
  readonly maxWaitMs: number;
  readonly timeoutMs: number;
  readonly onTimeout: 'ACCEPT' | 'FAIL';
  readonly record: 'AUTO' | 'ALWAYS';
  readonly encoding: 'json' | 'protobuf';
  readonly json: { readonly emitDefaults: boolean; readonly names: 'json' | 'proto' };
  readonly replyPartition: 'both' | 'spring' | 'nest' | 'none';
  /** 200 to 299. */
  readonly successStatus: number;
  readonly style: 'REPLY' | 'NOTIFY';
  /** Sends in all; 1 where the command is not idempotent. */
  readonly maxAttempts: number;
  /** Silence after which the next attempt is due; doubles with each. Null where there is one attempt only. */
  readonly redeliverAfterMs: number | null;
  /** Consumer group of the workers, with the namespace; null where the policy does not name it. */
  readonly workerGroup: string | null;
  /** Commands of one key are published in the order in which they were acknowledged. */
  readonly ordered: boolean;
  readonly idempotencyKey: 'OPTIONAL' | 'REQUIRED';
  readonly constantHeaders: ReadonlyArray<readonly [string, string]>;
  /** Lower case. */
  readonly forwardHeaders: readonly string[];
  /** Lower case: response headers that a worker may set. */
  readonly replyHeaders: readonly string[];
}

/** One callable thing of the contract, with its policy. Frozen. */
export interface Command {
  /** `orders.v1.Orders/CreateOrder` */
  readonly name: string;
  /** `orders.v1.Orders.CreateOrder`, the `ce_type`. */
  readonly type: string;
  /** `orders.v1.Orders` */
  readonly service: string;
  /** `CreateOrder` */
  readonly method: string;
  readonly kind: MethodKind;
  readonly policy: Policy;
  /** Empty: gRPC only. */
  readonly bindings: readonly HttpBinding[];
  readonly deprecated: boolean;
  /** The comment above the method; empty where there is none. */
  readonly comment: string;
  readonly codec: CommandCodec;
  /** The method returns google.longrunning.Operation: the caller gets the operation at once. */
  readonly returnsOperation: boolean;
  readonly idempotencyLevel: 'UNKNOWN' | 'NO_SIDE_EFFECTS' | 'IDEMPOTENT';
  /** For what describes the contract (OpenAPI). */
  readonly descriptor: DescMethod;
}

/** The value of a record, and what it is. */
export interface EncodedValue {
  readonly value: Uint8Array;
  readonly contentType: string;
}

/**
 * Reads and writes the messages of one command. Everything that depends on the method alone is computed once.
 *
 * Methods about requests throw `Failure` with `delivery: not_sent`, those about replies with `delivery: unknown`.
 */
export interface CommandCodec {
  readonly requestType: DescMessage;
  /** What a worker's result is read as: the output type, or the response type of a long-running operation. */
  readonly replyType: DescMessage;
  /** How many unknown fields of replies were dropped; only grows. */
  readonly droppedReplyFields: number;

  /**
   * Canonical proto3 JSON, already parsed. Where `binding` is given, violations name the path or query parameter that a
   * field came from.
   * @throws Failure REQUEST_INVALID with a violation for each wrong place.
   */
  requestFromJson(value: JsonValue, binding?: HttpBinding): ContractMessage;
  /** @throws Failure REQUEST_MALFORMED: not protobuf, invalid UTF-8, nested too deep; REQUEST_INVALID: NUL in a text. */
  requestFromBinary(bytes: Uint8Array): ContractMessage;
  /**
   * Rules of buf.validate, and google.api.field_behavior REQUIRED. Costs nothing where the type has neither.
   * @throws Failure REQUEST_INVALID with a violation for each broken rule.
   */
  validateRequest(message: ContractMessage, binding?: HttpBinding): void;
  /** By `policy.encoding`. @throws Failure REQUEST_INVALID: a message that has no JSON form (an Any of unknown type). */
  encodeRequest(message: ContractMessage): EncodedValue;
  /** Canonical JSON for callers, whatever the policy says of the record. */
  requestToJson(message: ContractMessage): string;
  /** The same bytes for equal messages, however their maps were ordered. To hash, not to send. */
  requestFingerprint(message: ContractMessage): Uint8Array;
  /** The record key as bytes of text; null where the command has no key or the field is unset. */
  keyOf(message: ContractMessage): Uint8Array | null;

  /**
   * JSON or protobuf by content type, else by `policy.encoding`; null or no bytes: the empty message. Unknown fields are
   * dropped and counted.
   * @throws Failure REPLY_INVALID
   */
  replyFromWire(value: Uint8Array | null, contentType: string | null): ContractMessage;
  /** @throws Failure REPLY_INVALID: broken bytes. */
  replyFromBinary(bytes: Uint8Array): ContractMessage;
  /** Canonical JSON text of the message, or of `response_body`'s field. @throws Failure REPLY_INVALID */
  replyToJson(message: ContractMessage, binding?: HttpBinding): string;
  /** A Buffer: grpc-js takes no plain Uint8Array. */
  replyToBinary(message: ContractMessage): Buffer;
}
