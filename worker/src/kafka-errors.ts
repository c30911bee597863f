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

/** kafkajs wraps errors in others; the broker's own stands somewhere down the causes. */
export function judgeError(error: unknown): Verdict {
  for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth++) {
    const verdict = DEFINITE[(cause as { type?: string }).type ?? ''];
    if (verdict !== undefined) return verdict;
  }
  return 'retry';
}
