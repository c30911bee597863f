import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { isConnectionTrouble, judgeSendFailure } from '../../src/channel/kafka-errors.ts';

// kafkajs's own errors, so that what is judged is what it throws.
const load = createRequire(import.meta.url);
const errors: Record<string, new (...args: unknown[]) => Error> = load('kafkajs/src/errors');
const { createErrorFromCode }: { createErrorFromCode: (code: number) => Error } = load('kafkajs/src/protocol/error');

const wrapped = (error: Error) => new errors['KafkaJSNumberOfRetriesExceeded']!(error, { retryCount: 0, retryTime: 1 });
const refused = new errors['KafkaJSConnectionError']!('Connection error: connect ECONNREFUSED', {
  code: 'ECONNREFUSED',
});
const closed = new errors['KafkaJSConnectionClosedError']!('Closed connection', { host: 'h', port: 1 });
const timedOut = new errors['KafkaJSRequestTimeoutError']!('Request Produce timed out', {});
const code = {
  unknownTopic: 3,
  notLeader: 6,
  tooLarge: 10,
  listTooLarge: 18,
  fewReplicas: 19,
  fewAfterAppend: 20,
  notAuthorized: 29,
};

describe('not_sent is said only of a send that can have reached no log', () => {
  it.each([
    ['connection refused', wrapped(refused), 'unreachable'],
    ['a topic that metadata does not know', wrapped(createErrorFromCode(code.unknownTopic)), 'unknown_topic'],
    ['a closed connection', wrapped(closed), 'unreachable'],
    ['anything', new Error('x'), 'other'],
  ])('before the request was encoded: %s', (_, error, problem) => {
    expect(judgeSendFailure(error, false)).toMatchObject({ certainlyNotSent: true, problem });
  });

  it.each([
    ['a record that is too large', createErrorFromCode(code.tooLarge), 'too_large'],
    ['a batch that is too large', createErrorFromCode(code.listTooLarge), 'too_large'],
    ['too few replicas, before the append', wrapped(createErrorFromCode(code.fewReplicas)), 'other'],
    ['no right to write to the topic', createErrorFromCode(code.notAuthorized), 'not_authorized'],
  ])('after it, by a broker that refuses: %s', (_, error, problem) => {
    expect(judgeSendFailure(error, true)).toMatchObject({ certainlyNotSent: true, problem });
  });

  it.each([
    ['a leader that may have appended and then lost its place', wrapped(createErrorFromCode(code.notLeader)), 'other'],
    ['too few replicas after the append', wrapped(createErrorFromCode(code.fewAfterAppend)), 'other'],
    ['no answer in time', wrapped(timedOut), 'timed_out'],
    ['a connection that broke', wrapped(closed), 'unreachable'],
    // kafkajs reconnects when a send fails, and throws the reconnect's error in place of the send's.
    ['a refused reconnect that hides a lost ack', wrapped(refused), 'unreachable'],
    ['a refused look-up that hides another answer', wrapped(createErrorFromCode(code.notAuthorized)), 'not_authorized'],
    ['a partition that is gone when asked to append', wrapped(createErrorFromCode(code.unknownTopic)), 'unknown_topic'],
    ['an error nobody knows', new Error('x'), 'other'],
  ])('and not after it for %s', (_, error, problem) => {
    expect(judgeSendFailure(error, true)).toMatchObject({ certainlyNotSent: false, problem });
  });
});

it('tells an outage from a refusal', () => {
  expect([refused, wrapped(closed), timedOut].map(isConnectionTrouble)).toEqual([true, true, true]);
  expect([createErrorFromCode(code.notAuthorized), new Error('x')].map(isConnectionTrouble)).toEqual([false, false]);
});
