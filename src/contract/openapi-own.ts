/** Parts that every document has, whatever the contract: problems, and how to ask for an answer. */

import { ownSchemas } from './openapi-own-schemas.ts';
import type { Schema } from './openapi-rules.ts';

export const OWN_TAG: Schema = Object.freeze({
  name: 'Sluice',
  description: 'The status of operations: what a call that was answered with 202 became.',
});

export const ref = (kind: string, name: string): Schema => ({ $ref: `#/components/${kind}/${name}` });

export const problemResponses: Schema = Object.freeze({
  '4XX': ref('responses', 'Refused'),
  '5XX': ref('responses', 'Failed'),
});

export const preferParameter: Schema = Object.freeze(ref('parameters', 'Prefer'));

export const keyParameter: Schema = Object.freeze(ref('parameters', 'IdempotencyKey'));

export const requiredKeyParameter: Schema = Object.freeze(ref('parameters', 'IdempotencyKeyRequired'));

export const keyReusedResponse: Schema = Object.freeze({ 422: ref('responses', 'KeyReused') });

/** The answer of a call that goes on as an operation. */
export const acceptedResponse: Schema = Object.freeze(ref('responses', 'Accepted'));

/** The answer of a one-way command. */
export const notedResponse: Schema = Object.freeze(ref('responses', 'Noted'));

/** Headers of an answer that was waited for. */
export const waitedHeaders: Schema = Object.freeze({ 'Preference-Applied': ref('headers', 'PreferenceApplied') });

/** Parts that not every contract refers to. */
export type OptionalParts = Readonly<
  Record<'Noted' | 'IdempotencyKey' | 'IdempotencyKeyRequired' | 'KeyReused', boolean>
>;

/**
 * Parts that paths refer to; the schemas are to be merged with those of the contract.
 * @param wanted which of the optional parts a command refers to.
 */
export function ownComponents(
  wanted: OptionalParts,
): Record<'parameters' | 'headers' | 'responses' | 'schemas', Record<string, Schema>> {
  const keep = (parts: Record<string, Schema>) =>
    Object.fromEntries(Object.entries(parts).filter(([name]) => wanted[name as keyof OptionalParts] ?? true));
  return { parameters: keep(parameters), headers, responses: keep(responsesOf()), schemas: ownSchemas };
}

const keySchema = { type: 'string', minLength: 1, maxLength: 255, pattern: '^[ -~]+$' };
const KEY_EXAMPLES = { uuid: { value: '"8e03978e-40d5-43dd-bc93-6894a57f9324"' } };
const KEY_DESCRIPTION =
  'Makes a repeated call safe: it is answered as the first one with this key was, with the same status, headers and body. In double quotes (RFC 8941) or as it is.';

const parameters: Record<string, Schema> = {
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    description: KEY_DESCRIPTION,
    schema: keySchema,
    examples: KEY_EXAMPLES,
  },
  IdempotencyKeyRequired: {
    name: 'Idempotency-Key',
    in: 'header',
    required: true,
    description: `${KEY_DESCRIPTION} This command takes no call without one.`,
    schema: keySchema,
    examples: KEY_EXAMPLES,
  },
  IfNoneMatch: {
    name: 'If-None-Match',
    in: 'header',
    description: 'Entity tags of versions that the caller has.',
    schema: { type: 'string' },
  },
  LastEventId: {
    name: 'Last-Event-ID',
    in: 'header',
    description: 'Of the stream: the number of the last event that the reader has. Counts before `after`.',
    schema: { type: 'string' },
  },
  OperationId: {
    name: 'id',
    in: 'path',
    required: true,
    description: 'The id of the operation.',
    schema: { type: 'string', format: 'uuid' },
  },
  Prefer: {
    name: 'Prefer',
    in: 'header',
    description:
      'How to be answered (RFC 7240). `wait=N`: wait at most N seconds for the result. `respond-async`: do not wait. What is malformed or unknown is ignored.',
    schema: { type: 'string' },
    examples: { wait: { value: 'wait=5' }, async: { value: 'respond-async' } },
  },
};

const headers: Record<string, Schema> = {
  ETag: { description: 'The version of the operation.', schema: { type: 'string' } },
  Location: { description: 'The status of the operation.', schema: { type: 'string', format: 'uri-reference' } },
  OperationLocation: { description: 'The same as an absolute URL.', schema: { type: 'string', format: 'uri' } },
  PreferenceApplied: { description: 'The preference that was honoured (RFC 7240).', schema: { type: 'string' } },
  RetryAfter: { description: 'Seconds after which to ask again.', schema: { type: 'integer', minimum: 1 } },
  Vary: { description: '`Prefer`', schema: { type: 'string' } },
};

function responsesOf(): Record<string, Schema> {
  const problem = { 'application/problem+json': { schema: ref('schemas', 'sluice.Problem') } };
  return {
    Accepted: {
      description: 'The command is recorded and goes on as an operation.',
      headers: {
        Location: ref('headers', 'Location'),
        'Operation-Location': ref('headers', 'OperationLocation'),
        'Retry-After': ref('headers', 'RetryAfter'),
        'Preference-Applied': ref('headers', 'PreferenceApplied'),
        Vary: ref('headers', 'Vary'),
      },
      content: { 'application/json': { schema: ref('schemas', 'sluice.Operation') } },
      links: {
        status: operationLink('sluice.GetOperation', 'The status of the operation.'),
        result: operationLink('sluice.GetOperationResult', 'Its result, once there is one.'),
        events: operationLink('sluice.ListOperationEvents', 'Its history.'),
        cancel: operationLink('sluice.CancelOperation', 'To cancel it.'),
      },
    },
    Failed: { description: 'A failure; `delivery` says what became of the command.', content: problem },
    KeyReused: {
      description: 'The Idempotency-Key belongs to a request with another payload.',
      content: problem,
    },
    Noted: {
      description: 'The command is sent. It is one-way: there is no operation to follow.',
      content: {
        'application/json': {
          schema: { type: 'object', properties: { id: { type: 'string', format: 'uuid' } }, required: ['id'] },
        },
      },
    },
    Refused: {
      description: 'The request is refused, or the worker refused the command; `delivery` says which.',
      headers: { 'Retry-After': ref('headers', 'RetryAfter') },
      content: problem,
    },
  };
}

function operationLink(operationId: string, description: string): Schema {
  return { operationId, parameters: { id: '$response.body#/id' }, description };
}
