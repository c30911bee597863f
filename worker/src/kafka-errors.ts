import type { SendErrorReason } from './transport.ts';

/** `retry`: may succeed later. The others are definite answers of a broker about one topic or one record. */
export type Verdict = 'retry' | Extract<SendErrorReason, 'unknown_topic' | 'not_authorized' | 'too_large'>;

const DEFINITE: Readonly<Record<string, Verdict>> = {
  UNKNOWN_TOPIC_OR_PARTITION: 'unknown_topic',
  INVALID_TOPIC_EXCEPTION: 'unknown_topic',
  TOPIC_AUTHORIZATION_FAILED: 'not_authorized',
  MESSAGE_TOO_LARGE: 'too_large',
  RECORD_LIST_TOO_LARGE: 'too_large',
};

/** kafkajs's names for brokers that are not there, do not answer, or do not know each other yet. */
const UNREACHABLE = new Set([
  'KafkaJSBrokerNotFound',
  'KafkaJSConnectionClosedError',
  'KafkaJSConnectionError',
  'KafkaJSLockTimeout',
  'KafkaJSMetadataNotLoaded',
  'KafkaJSRequestTimeoutError',
  'KafkaJSTopicMetadataNotLoaded',
]);

interface KafkaError extends Error {
  /** The protocol's name of it. */
  readonly type?: string;
  readonly retriable?: boolean;
}

export function judgeError(error: unknown): Verdict {
  for (const { type } of causesOf(error)) {
    const verdict = DEFINITE[type ?? ''];
    if (verdict !== undefined) return verdict;
  }
  return 'retry';
}

/** Whether a start that met this error may succeed by and by. A topic counts that the broker has not heard of yet. */
export function isTransient(error: unknown): boolean {
  return causesOf(error).some(({ name, type, retriable }) =>
    type === undefined ? UNREACHABLE.has(name) : retriable === true || type === 'UNKNOWN_TOPIC_OR_PARTITION',
  );
}

/** kafkajs wraps errors in others; the broker's own stands somewhere down the causes. */
function causesOf(error: unknown): KafkaError[] {
  const causes: KafkaError[] = [];
  for (let cause = error; cause instanceof Error && causes.length < 8; cause = cause.cause) causes.push(cause);
  return causes;
}
