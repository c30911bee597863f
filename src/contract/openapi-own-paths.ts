/** The paths that every document has, whatever the contract: the status resource, and the document itself. */

import { acceptedResponse, OWN_TAG, preferParameter, problemResponses, ref } from './openapi-own.ts';
import { STATES } from './openapi-own-schemas.ts';
import type { Schema } from './openapi-rules.ts';

/** Paths below `basePath`, by path. */
export function ownPaths(basePath: string): Record<string, Schema> {
  const id = ref('parameters', 'OperationId');
  const json = (description: string, schema: Schema, headers?: Schema): Schema => ({
    description,
    ...(headers ? { headers } : {}),
    content: { 'application/json': { schema } },
  });
  const statusOf = (description: string): Schema =>
    json(description, ref('schemas', 'sluice.Operation'), {
      ETag: ref('headers', 'ETag'),
      'Retry-After': ref('headers', 'RetryAfter'),
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
    [`${basePath}/operations/{id}/events`]: {
      get: {
        operationId: 'sluice.ListOperationEvents',
        tags: [OWN_TAG['name']],
        summary: 'Read the history of an operation',
        description:
          'Every change of the operation as it was recorded, oldest first. With `Accept: text/event-stream` a stream of server-sent events that goes on until the operation is done: `id` is the number of the event, `event` its type, `data` the event; `gap` says that events are missing, `end` that none will come. A reader that comes back with `Last-Event-ID` after the end is answered 204.',
        parameters: [
          id,
          query('after', { type: 'integer', minimum: 0, default: 0 }, 'Only events with a greater number.'),
          query(
            'page_size',
            { type: 'integer', minimum: 1, maximum: 200, default: 200 },
            'At most so many; of the list only.',
          ),
          ref('parameters', 'LastEventId'),
        ],
        responses: {
          200: {
            description: 'The events.',
            content: {
              'application/json': { schema: ref('schemas', 'sluice.EventPage') },
              'text/event-stream': { schema: { type: 'string' } },
            },
          },
          204: { description: 'The stream is at its end: the reader has seen every event.' },
          ...problemResponses,
        },
      },
    },
    [`${basePath}/operations/{id}:cancel`]: {
      post: {
        operationId: 'sluice.CancelOperation',
        tags: [OWN_TAG['name']],
        summary: 'Cancel an operation',
        description:
          'Best effort: a result that is there first stands, and the answer shows which it was. A worker that has begun is told, and may go on all the same.',
        parameters: [id],
        responses: { 200: statusOf('The operation as it stands now.'), ...problemResponses },
      },
    },
    [`${basePath}/operations/{id}:redrive`]: {
      post: {
        operationId: 'sluice.RedriveOperation',
        tags: [OWN_TAG['name']],
        summary: 'Send the command of an operation again',
        description:
          'For admins, and for operations that are not done. Renews the deadline. The worker may be given the command twice.',
        parameters: [id],
        responses: { 200: statusOf('The operation as it stands now.'), ...problemResponses },
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
