import type { PublishProblem } from '../operations/channel-ports.ts';

/** What kafkajs's errors have that says what went wrong. */
interface KafkaErrorFields {
  readonly name?: string;
  /** Name of the protocol's error. */
  readonly type?: string;
  readonly message?: string;
  readonly cause?: unknown;
}

/** How one `send()` of one topic-partition ended. */
export interface SendFailure {
  readonly problem: PublishProblem;
  readonly message: string;
  /** No broker can have appended anything of it. */
  readonly certainlyNotSent: boolean;
  /** One record is at fault, not the partition: worth finding out which. */
  readonly isRecordAtFault: boolean;
}

const CONNECTION_ERRORS = new Set([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSBrokerNotFound',
  'KafkaJSNoBrokerAvailableError',
  'KafkaJSLockTimeout',
  'KafkaJSSASLAuthenticationError',
  'KafkaJSMetadataNotLoaded',
  'KafkaJSTopicMetadataNotLoaded',
]);

/**
 * Judges a failed `send()` that held one topic-partition.
 *
 * @param wasEncoded whether kafkajs had begun to encode the request: before that nothing can have reached a socket,
 *   whatever the error says. After it only a broker's own definite refusal counts, and only where it is certain that the
 *   refusal is the answer to this request: when a send fails, kafkajs refreshes metadata or reconnects and, where that
 *   fails too, throws *that* error in place of the first. An error of its own that it wraps may be such a one; what it
 *   throws bare is the answer.
 */
export function judgeSendFailure(error: unknown, wasEncoded: boolean): SendFailure {
  const root = rootOf(error);
  const problem = problemOf(root);
  const isBare = root === error;
  return {
    problem,
    message: root.message ?? String(error),
    certainlyNotSent: !wasEncoded || isRefusal(root, isBare),
    isRecordAtFault: problem === 'too_large',
  };
}

/** Whether the brokers could not be reached, or not be talked to, as opposed to having refused. */
export function isConnectionTrouble(error: unknown): boolean {
  const root = rootOf(error);
  if (CONNECTION_ERRORS.has(root.name ?? '') || root.name === 'KafkaJSRequestTimeoutError') return true;
  // Thrown bare by kafkajs 2.2.4 for a connection that was never made good.
  return root.message === 'Broker not connected';
}

export function isUnknownTopic(error: unknown): boolean {
  return problemOf(rootOf(error)) === 'unknown_topic';
}

export function isTopicNotAuthorized(error: unknown): boolean {
  return problemOf(rootOf(error)) === 'not_authorized';
}

/** What the innermost error says, for logs and problems. */
export function describeKafkaError(error: unknown): string {
  const root = rootOf(error);
  const { errors } = root as { errors?: readonly Error[] };
  return errors ? errors.map((each) => each.message).join('; ') : (root.message ?? String(error));
}

/** Never appended, says the broker. `NOT_ENOUGH_REPLICAS_AFTER_APPEND` and `NOT_LEADER` are not of these. */
function isRefusal(root: KafkaErrorFields, isBare: boolean): boolean {
  switch (root.type) {
    case 'MESSAGE_TOO_LARGE':
    case 'RECORD_LIST_TOO_LARGE':
    case 'NOT_ENOUGH_REPLICAS':
      return true; // Answers to nothing but a produce request.
    case 'TOPIC_AUTHORIZATION_FAILED':
      return isBare; // Metadata requests answer so too.
    default:
      return false;
  }
}

function problemOf(root: KafkaErrorFields): PublishProblem {
  switch (root.type) {
    case 'MESSAGE_TOO_LARGE':
    case 'RECORD_LIST_TOO_LARGE':
      return 'too_large';
    case 'UNKNOWN_TOPIC_OR_PARTITION':
    case 'INVALID_TOPIC_EXCEPTION':
      return 'unknown_topic';
    case 'TOPIC_AUTHORIZATION_FAILED':
    case 'CLUSTER_AUTHORIZATION_FAILED':
      return 'not_authorized';
    default:
      if (root.name === 'KafkaJSRequestTimeoutError') return 'timed_out';
      return CONNECTION_ERRORS.has(root.name ?? '') ? 'unreachable' : 'other';
  }
}

/** kafkajs wraps the last error of its (for us: only) try; a bare error is its own root. */
function rootOf(error: unknown): KafkaErrorFields {
  let root = error as KafkaErrorFields;
  for (let depth = 0; depth < 5; depth += 1) {
    const cause = root.cause as KafkaErrorFields | undefined;
    const isWrapper = root.name === 'KafkaJSNumberOfRetriesExceeded' || root.name === 'KafkaJSNonRetriableError';
    if (!isWrapper || typeof cause !== 'object' || cause === null) return root;
    root = cause;
  }
  return root;
}
