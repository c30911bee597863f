/** Schemas of what Sluice itself answers with: operations, their events, problems. */

import { FAILURES } from '../runtime/failure.ts';
import type { Schema } from './openapi-rules.ts';

/** A test holds both lists against those of the operations, which this folder may not import. */
export const STATES = ['accepted', 'dispatched', 'running', 'succeeded', 'failed', 'cancelled', 'expired'];

export const EVENT_TYPES = [
  'accepted',
  'dispatched',
  'acknowledged',
  'progressed',
  'redriven',
  'succeeded',
  'failed',
  'cancelled',
  'expired',
];

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

const time = (description: string): Schema => ({ type: 'string', format: 'date-time', description });

export const ownSchemas: Record<string, Schema> = {
  'sluice.Operation': {
    type: 'object',
    description: 'One accepted invocation of a command.',
    properties: {
      id: { type: 'string', format: 'uuid' },
      command: { type: 'string', description: 'The command, such as `orders.v1.Orders/CreateOrder`.' },
      state: { type: 'string', enum: STATES },
      done: { type: 'boolean', description: 'Whether nothing can become of it any more.' },
      progress: { anyOf: [ref('sluice.Progress'), { type: 'null' }] },
      attempt: { type: 'integer', minimum: 1, description: 'How often the command was sent, this time included.' },
      createdAt: time('When it was accepted.'),
      updatedAt: time('When it last changed.'),
      deadline: time('When it expires unless it is done.'),
      retainedUntil: { ...time('Until when it can be read, once it is done.'), type: ['string', 'null'] },
      result: { description: 'What the worker answered, once it succeeded.' },
      error: { ...ref('sluice.Problem'), description: 'Why it did not succeed, once it is done.' },
      links: {
        type: 'object',
        properties: {
          self: { type: 'string', format: 'uri' },
          result: { type: 'string', format: 'uri' },
          events: { type: 'string', format: 'uri' },
          cancel: { type: 'string', format: 'uri', description: 'Absent once it is done.' },
        },
        required: ['self', 'result', 'events'],
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
  'sluice.Event': {
    type: 'object',
    description: 'One thing that happened to an operation.',
    properties: {
      number: { type: 'integer', minimum: 1, description: '1, 2, … in the order in which they were recorded.' },
      type: { type: 'string', enum: EVENT_TYPES },
      time: time('When it happened.'),
      late: { type: 'boolean', description: 'Whether it came after the end, and changed nothing.' },
      attempt: { type: 'integer', minimum: 2, description: 'Of `redriven`: the attempt that it began.' },
      deadline: time('Of `redriven`: the renewed deadline.'),
      published: {
        type: 'object',
        description: 'Where the command stands in its topic.',
        properties: { partition: { type: 'integer' }, offset: { type: 'string' } },
        required: ['partition', 'offset'],
      },
      progress: ref('sluice.Progress'),
      error: { ...ref('sluice.Problem'), description: 'Why it did not succeed.' },
    },
    required: ['number', 'type', 'time', 'late'],
  },
  'sluice.EventPage': {
    type: 'object',
    properties: {
      events: { type: 'array', items: ref('sluice.Event') },
      nextAfter: { type: ['integer', 'null'], description: 'The `after` of the next page; null on the last one.' },
    },
    required: ['events', 'nextAfter'],
  },
  'sluice.OperationPage': {
    type: 'object',
    properties: {
      operations: { type: 'array', items: ref('sluice.Operation') },
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
      errors: { type: 'array', items: ref('sluice.Violation') },
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
