/** The caller's Idempotency-Key (draft-ietf-httpapi-idempotency-key-header), the same over REST and gRPC metadata. */

import { createHash } from 'node:crypto';
import type { ContractMessage } from '../contract/command.ts';
import type { IdempotencyKey } from '../operations/store-ports.ts';
import { Failure } from '../runtime/failure.ts';
import type { Call } from './call.ts';

/** Of the header and of the metadata entry. */
export const IDEMPOTENCY_KEY = 'idempotency-key';

export const MAX_KEY_CHARACTERS = 255;

/** A String of RFC 8941 section 3.3.3, and parameters of the Item, which mean nothing here. */
const QUOTED =
  /^"((?:[ !#-[\]-~]|\\["\\])*)"(?: *; *[a-z*][a-z0-9_.*-]*(?:=(?:"(?:[ !#-[\]-~]|\\["\\])*"|[!#-+\--:<-~]+))?)* *$/;
/** Many send the key as it is. A comma is how two fields are joined into one, and a quote begins a String. */
const BARE = /^[!#-+\--~](?:[ !#-+\--~]*[!#-+\--~])?$/;

/**
 * @param text the field's value; null where absent.
 * @param isRepeated whether there are several such fields: `text` is then all of them.
 * @throws Failure HEADER_INVALID
 */
export function readIdempotencyKey(text: string | null, isRepeated: boolean): string | null {
  if (text === null) return null;
  if (isRepeated) throw refuse('is given more than once, expected one key');
  const trimmed = text.trim();
  const quoted = QUOTED.exec(trimmed)?.[1];
  const key = quoted === undefined ? trimmed : quoted.replace(/\\(.)/g, '$1');
  if (quoted === undefined && !BARE.test(trimmed) && trimmed !== '') throw refuse(EXPECTED);
  if (key.length === 0 || key.length > MAX_KEY_CHARACTERS) throw refuse(`has ${key.length} characters, ${EXPECTED}`);
  return key;
}

const EXPECTED = `expected a text of 1 to ${MAX_KEY_CHARACTERS} printable ASCII characters, in double quotes or as it is`;

function refuse(detail: string): Failure {
  return new Failure('HEADER_INVALID', `${IDEMPOTENCY_KEY} cannot be used: ${detail}`, {
    violations: [{ header: IDEMPOTENCY_KEY, detail }],
  });
}

/** @throws Failure IDEMPOTENCY_KEY_REQUIRED */
export function refuseMissingKey({ command, idempotencyKey }: Pick<Call, 'command' | 'idempotencyKey'>): void {
  if (idempotencyKey !== null || command.policy.idempotencyKey === 'OPTIONAL') return;
  throw new Failure('IDEMPOTENCY_KEY_REQUIRED', `${command.name} takes no call without an Idempotency-Key`, {
    violations: [{ header: IDEMPOTENCY_KEY, detail: EXPECTED }],
  });
}

/**
 * The key with what tells its request from another: SHA-256 of command and payload. Headers are no part of it, nor how the
 * payload came: the same message over REST and gRPC is the same request.
 */
export function identifyRequest(call: Call, request: ContractMessage): IdempotencyKey | null {
  const { command, idempotencyKey } = call;
  if (idempotencyKey === null) return null;
  const payload = command.codec.requestFingerprint(request);
  const fingerprint = createHash('sha256').update(command.name).update('\0').update(payload).digest();
  return { key: idempotencyKey, fingerprint };
}

const SAYS_NOTHING_OF_EARLIER =
  'an earlier request with this Idempotency-Key may have been carried out: retry with the same key only';

/**
 * `not_sent` speaks of the request that is answered. A caller that reads it as "my command was never sent" and tries again
 * without its key, or with another one, would double what an earlier try began; so the answer says it. Nothing is added
 * where the answer is about the key itself.
 */
export function qualifyRefusal(failure: Failure): Failure {
  const { code, delivery, violations, retryAfterMs, operationId, allow, message } = failure;
  if (delivery !== 'not_sent' || code === 'IDEMPOTENCY_KEY_REUSED') return failure;
  if (violations.some(({ header }) => header === IDEMPOTENCY_KEY)) return failure;
  return new Failure(code, `${message} (this request was not sent; ${SAYS_NOTHING_OF_EARLIER})`, {
    delivery,
    violations,
    allow,
    cause: failure.cause,
    ...(retryAfterMs === null ? {} : { retryAfterMs }),
    ...(operationId === null ? {} : { operationId }),
  });
}
