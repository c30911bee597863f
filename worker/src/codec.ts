import { CommandError } from './errors.ts';
import { decodeText, encodeText } from './headers.ts';

/** A value and what it is. */
export interface Encoded {
  readonly contentType: string;
  /** Null is an empty message. */
  readonly value: Uint8Array | null;
}

/** How values become what handlers see. `method` is `package.Service/Method`, `contentType` the command's. */
export interface Codec {
  /** @throws CommandError INVALID_ARGUMENT for a value that cannot be read, UNIMPLEMENTED for an unknown content type */
  decodeRequest(method: string, encoded: Encoded): unknown;
  /** In the content type of the command. Throws what becomes INTERNAL: a response that cannot be written is a bug. */
  encodeResponse(method: string, response: unknown, contentType: string): Encoded;
  /** The other side, for commands to other services. */
  encodeRequest(method: string, request: unknown): Encoded;
  decodeResponse(method: string, encoded: Encoded): unknown;
}

export const JSON_TYPE = 'application/json';

/** JSON as it stands: what Sluice sends unless told otherwise is canonical proto3 JSON (64-bit integers are strings). */
export const jsonCodec: Codec = Object.freeze({
  decodeRequest: (_method: string, encoded: Encoded) => parseJson(encoded),
  encodeResponse: (_method: string, response: unknown) => stringify(response),
  encodeRequest: (_method: string, request: unknown) => stringify(request),
  decodeResponse: (_method: string, encoded: Encoded) => parseJson(encoded),
});

/** `application/json; charset=utf-8` → `application/json` */
export function mediaType(contentType: string): string {
  return (contentType.split(';')[0] as string).trim().toLowerCase();
}

export function isJsonType(contentType: string): boolean {
  const type = mediaType(contentType);
  return type === JSON_TYPE || type.endsWith('+json');
}

export function parseJson(encoded: Encoded): unknown {
  if (!isJsonType(encoded.contentType)) throw unknownContentType(encoded.contentType, JSON_TYPE);
  if (encoded.value === null || encoded.value.length === 0) return {};
  try {
    return JSON.parse(decodeText(encoded.value));
  } catch (error) {
    throw new CommandError('INVALID_ARGUMENT', `the value is not JSON: ${(error as Error).message}`);
  }
}

export function unknownContentType(contentType: string, known: string): CommandError {
  return new CommandError('UNIMPLEMENTED', `content-type: expected ${known}, got ${JSON.stringify(contentType)}`);
}

function stringify(value: unknown): Encoded {
  return {
    contentType: JSON_TYPE,
    value: value === undefined || value === null ? null : encodeText(JSON.stringify(value)),
  };
}
