/**
 * The messages that the gRPC edge itself writes and reads: google.rpc.Status and its details, google.longrunning,
 * health, reflection, `sluice.v1`. Read from `proto/sluice.binpb`, which `scripts/compile-own.ts` makes of `proto/`; a
 * test fails where it is stale. So nothing is generated, and no compiler is needed at run time.
 */

import { readFileSync } from 'node:fs';
import {
  create,
  createFileRegistry,
  type DescMessage,
  type DescService,
  fromBinary,
  fromJson,
  type JsonValue,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { BytesValueSchema, EmptySchema, FileDescriptorSetSchema, ValueSchema } from '@bufbuild/protobuf/wkt';
import { DescriptorSource } from './reflection.ts';

const SET_URL = new URL('../../proto/sluice.binpb', import.meta.url);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(SET_URL)));

/** For reflection of Sluice's own services. */
export const ownDescriptors: DescriptorSource = new DescriptorSource(registry);

/** @param name full name; one of the services in `proto/`. */
export function findOwnService(name: string): DescService {
  const service = registry.getService(name);
  if (!service) throw new Error(`proto/sluice.binpb has no service ${name}`);
  return service;
}

/** One message type, read and written as plain objects of `Shape`: lowerCamelCase fields, `{ case, value }` for a oneof. */
export interface OwnType<Shape> {
  readonly name: string;
  encode(value: Shape): Buffer;
  /** Fields that were not sent have their defaults. Throws an `Error` where the bytes are no such message. */
  decode(bytes: Uint8Array): Shape;
}

function ownType<Shape>(name: string): OwnType<Shape> {
  const descriptor = registry.getMessage(name);
  if (!descriptor) throw new Error(`proto/sluice.binpb has no message ${name}`);
  return {
    name,
    encode: (value) => toBuffer(toBinary(descriptor, create(descriptor, value as Record<string, unknown>))),
    decode: (bytes) => fromBinary(descriptor, bytes) as Shape,
  };
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// ---- google.protobuf -------------------------------------------------------------------------------------------------

/** google.protobuf.Any */
export interface AnyValue {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** google.protobuf.Timestamp and Duration. */
export interface SecondsAndNanos {
  readonly seconds: bigint;
  readonly nanos: number;
}

/** Packs bytes that are a message of the type already. */
export function packBytes(typeName: string, value: Uint8Array): AnyValue {
  return { typeUrl: `type.googleapis.com/${typeName}`, value };
}

export function pack<Shape>(type: OwnType<Shape>, value: Shape): AnyValue {
  return packBytes(type.name, type.encode(value));
}

/** JSON as a google.protobuf.Value. Throws an `Error` where it is none (a number that JSON cannot write). */
export function packJson(value: JsonValue): AnyValue {
  return packWellKnown(ValueSchema, fromJson(ValueSchema, value));
}

/** Bytes that mean nothing to us, as a google.protobuf.BytesValue. */
export function packUnknown(value: Uint8Array): AnyValue {
  return packWellKnown(BytesValueSchema, create(BytesValueSchema, { value }));
}

export function packEmpty(): AnyValue {
  return packBytes(EmptySchema.typeName, new Uint8Array());
}

function packWellKnown<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): AnyValue {
  return packBytes(schema.typeName, toBinary(schema, message));
}

// ---- google.rpc ------------------------------------------------------------------------------------------------------

export interface StatusMessage {
  readonly code: number;
  readonly message: string;
  readonly details: readonly AnyValue[];
}

export const statusType: OwnType<StatusMessage> = ownType('google.rpc.Status');

export const errorInfoType: OwnType<{
  readonly domain: string;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
}> = ownType('google.rpc.ErrorInfo');

export const retryInfoType: OwnType<{ readonly retryDelay: SecondsAndNanos }> = ownType('google.rpc.RetryInfo');

export const badRequestType: OwnType<{
  readonly fieldViolations: readonly { readonly field: string; readonly description: string }[];
}> = ownType('google.rpc.BadRequest');

// ---- google.longrunning ----------------------------------------------------------------------------------------------

export interface OperationMessage {
  readonly name: string;
  readonly metadata?: AnyValue;
  readonly done: boolean;
  readonly result?:
    | { readonly case: 'error'; readonly value: StatusMessage }
    | { readonly case: 'response'; readonly value: AnyValue };
}

export const operationType: OwnType<OperationMessage> = ownType('google.longrunning.Operation');

export const getOperationRequestType: OwnType<{ readonly name: string }> = ownType(
  'google.longrunning.GetOperationRequest',
);

export const cancelOperationRequestType: OwnType<{ readonly name: string }> = ownType(
  'google.longrunning.CancelOperationRequest',
);

export const waitOperationRequestType: OwnType<{ readonly name: string; readonly timeout?: SecondsAndNanos }> = ownType(
  'google.longrunning.WaitOperationRequest',
);

export const listOperationsRequestType: OwnType<{
  readonly name: string;
  readonly filter: string;
  readonly pageSize: number;
  readonly pageToken: string;
}> = ownType('google.longrunning.ListOperationsRequest');

export const listOperationsResponseType: OwnType<{
  readonly operations: readonly OperationMessage[];
  readonly nextPageToken: string;
}> = ownType('google.longrunning.ListOperationsResponse');

// ---- sluice.v1 -------------------------------------------------------------------------------------------------------

export const operationMetadataType: OwnType<{
  readonly command: string;
  /** Number of the enum `OperationMetadata.State`. */
  readonly state: number;
  readonly progressPercent?: number;
  readonly progressMessage?: string;
  readonly attempt: number;
  readonly createTime: SecondsAndNanos;
  readonly updateTime: SecondsAndNanos;
  readonly deadline: SecondsAndNanos;
}> = ownType('sluice.v1.OperationMetadata');

// ---- grpc.health.v1 --------------------------------------------------------------------------------------------------

export const healthCheckRequestType: OwnType<{ readonly service: string }> = ownType(
  'grpc.health.v1.HealthCheckRequest',
);

/** `status`: 1 SERVING, 2 NOT_SERVING, 3 SERVICE_UNKNOWN. */
export const healthCheckResponseType: OwnType<{ readonly status: number }> = ownType(
  'grpc.health.v1.HealthCheckResponse',
);

// ---- grpc.reflection -------------------------------------------------------------------------------------------------

export interface ReflectionRequest {
  readonly host: string;
  readonly messageRequest:
    | { readonly case: 'fileByFilename'; readonly value: string }
    | { readonly case: 'fileContainingSymbol'; readonly value: string }
    | {
        readonly case: 'fileContainingExtension';
        readonly value: { readonly containingType: string; readonly extensionNumber: number };
      }
    | { readonly case: 'allExtensionNumbersOfType'; readonly value: string }
    | { readonly case: 'listServices'; readonly value: string }
    | { readonly case: undefined; readonly value?: undefined };
}

export interface ReflectionResponse {
  readonly validHost: string;
  readonly originalRequest: ReflectionRequest;
  readonly messageResponse:
    | {
        readonly case: 'fileDescriptorResponse';
        readonly value: { readonly fileDescriptorProto: readonly Uint8Array[] };
      }
    | {
        readonly case: 'allExtensionNumbersResponse';
        readonly value: { readonly baseTypeName: string; readonly extensionNumber: readonly number[] };
      }
    | {
        readonly case: 'listServicesResponse';
        readonly value: { readonly service: readonly { readonly name: string }[] };
      }
    | {
        readonly case: 'errorResponse';
        readonly value: { readonly errorCode: number; readonly errorMessage: string };
      };
}

/** v1 and v1alpha are the same bytes. */
export const reflectionRequestType: OwnType<ReflectionRequest> = ownType('grpc.reflection.v1.ServerReflectionRequest');

export const reflectionResponseType: OwnType<ReflectionResponse> = ownType(
  'grpc.reflection.v1.ServerReflectionResponse',
);
