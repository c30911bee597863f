/** What every document has, whatever the contract: the status resource, problems, and how to ask for an answer. */

import { FAILURES } from '../runtime/failure.ts';
import type { Schema } from './openapi-rules.ts';

export const OWN_TAG: Schema = Object.freeze({
  name: 'Sluice',
  description: 'The status of operations: what a call that was answered with 202 became.',
});

const STATES = ['accepted', 'dispatched', 'running', 'succeeded', 'failed', 'cancelled', 'expired'];

const ref = (kind: string, name: string): Schema => ({ $ref: `#/components/${kind}/${name}` });

export const problemResponses: Schema = Object.freeze({
  '4XX': ref('responses', 'Refused'),
  '5XX': ref('responses', 'Failed'),
});

export const preferParameter: Schema = Object.freeze(ref('parameters', 'Prefer'));

/** The answer of a call that goes on as an operation. */
export const acceptedResponse: Schema = Object.freeze(ref('responses', 'Accepted'));

/** The answer of a one-way command. */
export const notedResponse: Schema = Object.freeze(ref('responses', 'Noted'));

/** Headers of an answer that was waited for. */
export const waitedHeaders: Schema = Object.freeze({ 'Preference-Applied': ref('headers', 'PreferenceApplied') });

/** Paths below `basePath`, by path. */
export function ownPaths(basePath: string): Record<string, Schema> {
  const id = ref('parameters', 'OperationId');
  const json = (description: string, schema: Schema, headers?: Schema): Schema => ({
    description,
    ...(headers ? { headers } : {}),
    content: { 'application/json': { schema } },
  });
  return {
    [`${basePath}/operations`]: {
      get: {
        operationId: 'sluice.ListOperations',
        tags: [OWN_TAG['name']],
        summary: 'List operations',
        description:
          "The caller's own operations, newest first. Anonymous callers get no list unless the config says so.",
        parameters: [
          query(
            'command',
            { type: 'string' },
            'Only operations of this command, such as `orders.v1.Orders/CreateOrder`.',
          ),
          query('state', { type: 'string', enum: STATES }, 'Only operations in this state.'),
          query(
            'page_size',
            { type: 'integer', minimum: 1, default: 50 },
            'At most so many; above 1000 is taken as 1000.',
          ),
          query('page_token', { type: 'string' }, 'The `nextPageToken` of the page before, with the same filters.'),
        ],
        responses: { 200: json('A page of operations.', ref('schemas', 'sluice.OperationPage')), ...problemResponses },
      },
    },
    [`${basePath}/operations/{id}`]: {
      get: {
        operationId: 'sluice.GetOperation',
        tags: [OWN_TAG['name']],
        summary: 'Read the status of an operation',
        description:
          'Answers 200 whatever became of the operation. With `Prefer: wait=N` it answers as soon as the operation is done, or with `If-None-Match` as soon as it differs, and at the latest after N seconds.',
        parameters: [id, preferParameter, ref('parameters', 'IfNoneMatch')],
        responses: {
          200: json('The operation.', ref('schemas', 'sluice.Operation'), {
            ETag: ref('headers', 'ETag'),
            'Retry-After': ref('headers', 'RetryAfter'),
            'Preference-Applied': ref('headers', 'PreferenceApplied'),
          }),
          304: { description: 'The operation is as `If-None-Match` says.' },
          ...problemResponses,
        },
      },
    },
    [`${basePath}/operations/{id}/result`]: {
      get: {
        operationId: 'sluice.GetOperationResult',
        tags: [OWN_TAG['name']],
        summary: 'Read the result of an operation',
        description:
          'Replays what the synchronous call would have answered: its status, headers and body, success or problem.',
        parameters: [id, preferParameter],
        responses: {
          200: json('The result, as the command describes it; a worker may have chosen another 2xx.', {}),
          202: acceptedResponse,
          ...problemResponses,
        },
      },
    },
    [`${basePath}/openapi.json`]: {
      get: {
        operationId: 'sluice.GetOpenApi',
        tags: [OWN_TAG['name']],
        summary: 'Read this document',
        description: 'The OpenAPI document of the contract that is served.',
        responses: { 200: json('An OpenAPI 3.1 document.', { type: 'object' }), ...problemResponses },
      },
    },
  };
}

function query(name: string, schema: Schema, description: string): Schema {
  return { name, in: 'query', description, schema };
}

/**
 * Parts that paths refer to; the schemas are to be merged with those of the contract.
 * @param withNoted whether a one-way command refers to its answer.
 */
export function ownComponents(
  withNoted: boolean,
): Record<'parameters' | 'headers' | 'responses' | 'schemas', Record<string, Schema>> {
  const { Noted, ...responses } = responsesOf();
  return { parameters, headers, responses: withNoted ? { ...responses, Noted: Noted! } : responses, schemas };
}

const parameters: Record<string, Schema> = {
  IfNoneMatch: {
    name: 'If-None-Match',
    in: 'header',
    description: 'Entity tags of versions that the caller has.',
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
      },
    },
    Failed: { description: 'A failure; `delivery` says what became of the command.', content: problem },
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

const time = (description: string): Schema => ({ type: 'string', format: 'date-time', description });

const schemas: Record<string, Schema> = {
  'sluice.Operation': {
    type: 'object',
    description: 'One accepted invocation of a command.',
    properties: {
      id: { type: 'string', format: 'uuid' },
      command: { type: 'string', description: 'The command, such as `orders.v1.Orders/CreateOrder`.' },
      state: { type: 'string', enum: STATES },
      done: { type: 'boolean', description: 'Whether nothing can become of it any more.' },
      progress: { anyOf: [ref('schemas', 'sluice.Progress'), { type: 'null' }] },
      attempt: { type: 'integer', minimum: 1, description: 'How often the command was sent, this time included.' },
      createdAt: time('When it was accepted.'),
      updatedAt: time('When it last changed.'),
      deadline: time('When it expires unless it is done.'),
      retainedUntil: { ...time('Until when it can be read, once it is done.'), type: ['string', 'null'] },
      result: { description: 'What the worker answered, once it succeeded.' },
      error: { ...ref('schemas', 'sluice.Problem'), description: 'Why it did not succeed, once it is done.' },
      links: {
        type: 'object',
        properties: { self: { type: 'string', format: 'uri' }, result: { type: 'string', format: 'uri' } },
        required: ['self', 'result'],
      },
    },
    required: [
      'id',
      'command',
      'state',
      'done',
      'progress',
      'attempt',
      'createdAt',
      'updatedAt',
      'deadline',
      'retainedUntil',
      'links',
    ],
  },
  'sluice.OperationPage': {
    type: 'object',
    properties: {
      operations: { type: 'array', items: ref('schemas', 'sluice.Operation') },
      nextPageToken: { type: 'string', description: 'Empty on the last page.' },
    },
    required: ['operations', 'nextPageToken'],
  },
  'sluice.Problem': {
    type: 'object',
    description: 'Problem details (RFC 9457).',
    properties: {
      type: { type: 'string', format: 'uri' },
      title: { type: 'string' },
      status: { type: 'integer' },
      detail: { type: 'string' },
      instance: { type: 'string', format: 'uri-reference' },
      code: { type: 'string', enum: Object.keys(FAILURES), description: 'A code of a closed list.' },
      delivery: {
        type: 'string',
        enum: ['not_sent', 'unknown', 'failed'],
        description:
          'What became of the command of this request. `not_sent`: no worker will see it, a retry is safe. `unknown`: it may have run or may yet run. `failed`: the worker answered with an error. Absent where a request about an operation fails for a reason that says nothing of its command.',
      },
      errors: { type: 'array', items: ref('schemas', 'sluice.Violation') },
      workerError: {
        type: 'object',
        description: 'What the worker said, as it came.',
        properties: { code: { type: 'string' }, message: { type: 'string' }, details: {} },
        required: ['code', 'message'],
      },
      operation: {
        type: 'object',
        description: 'The operation that goes on in spite of this.',
        properties: { id: { type: 'string', format: 'uuid' }, link: { type: 'string', format: 'uri' } },
        required: ['id', 'link'],
      },
      requestId: { type: 'string' },
      retryAfter: { type: 'integer', minimum: 1, description: 'Seconds.' },
    },
    required: ['type', 'title', 'status', 'detail', 'code'],
  },
  'sluice.Progress': {
    type: 'object',
    properties: {
      percent: { type: ['number', 'null'], minimum: 0, maximum: 100 },
      message: { type: ['string', 'null'] },
    },
    required: ['percent', 'message'],
  },
  'sluice.Violation': {
    type: 'object',
    description: 'One thing wrong with the request, and where.',
    properties: {
      detail: { type: 'string' },
      pointer: { type: 'string', description: 'JSON pointer into the body, as a URI fragment.' },
      parameter: { type: 'string', description: 'A path or query parameter.' },
      header: { type: 'string', description: 'A header.' },
    },
    required: ['detail'],
  },
};
