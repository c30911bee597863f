/**
 * Names of record headers. They follow what Spring Kafka and NestJS already send, so that their stock workers need no
 * change; the whole list is an API of ours (docs/wire.md).
 */

/** Of command records. CloudEvents 1.0, Kafka protocol binding, binary mode. */
export const CE_SPECVERSION = 'ce_specversion';
export const CE_ID = 'ce_id';
export const CE_SOURCE = 'ce_source';
export const CE_TYPE = 'ce_type';
export const CE_TIME = 'ce_time';
/** CloudEvents extension "Expiry Time". */
export const CE_EXPIRYTIME = 'ce_expirytime';
/** CloudEvents attribute `subject`: of control records and lifecycle events, not of commands. */
export const CE_SUBJECT = 'ce_subject';
export const CONTENT_TYPE = 'content-type';
export const CORRELATION_ID = 'kafka_correlationId';
export const REPLY_TOPIC = 'kafka_replyTopic';
export const REPLY_PARTITION = 'kafka_replyPartition';
/** W3C Trace Context. */
export const TRACEPARENT = 'traceparent';
export const TRACESTATE = 'tracestate';
export const ATTEMPT = 'sluice-attempt';
export const HOPS = 'sluice-hops';
export const PRINCIPAL = 'sluice-principal';

/** Of replies. */
export const KIND = 'sluice-kind';
export const CODE = 'sluice-code';
export const HTTP_STATUS = 'sluice-http-status';
export const RESPONSE_HEADER_PREFIX = 'sluice-header-';
export const RESPONSE_TRAILER_PREFIX = 'sluice-trailer-';
export const RUN = 'sluice-run';
export const SEQUENCE = 'sluice-seq';
/** As NestJS writes it: what was thrown. */
export const NEST_ERROR = 'kafka_nest-err';
/** Set by Sluice on a reply that it sent to its home partition: `<partition>/<offset>` where it stood first. */
export const REHOMED = 'sluice-rehomed';

/** Of dead letters, besides the headers of the record that they were. */
export const DEAD_LETTER_REASON = 'sluice-dead-letter-reason';
export const DEAD_LETTER_CODE = 'sluice-dead-letter-code';
/** Where the record stood, or was sent to. */
export const DEAD_LETTER_TOPIC = 'sluice-dead-letter-topic';
export const DEAD_LETTER_PARTITION = 'sluice-dead-letter-partition';
export const DEAD_LETTER_OFFSET = 'sluice-dead-letter-offset';
/** In place of a value that the topic did not take. */
export const DEAD_LETTER_SIZE = 'sluice-dead-letter-size';
export const DEAD_LETTER_SHA256 = 'sluice-dead-letter-sha256';
/** Of commands only. */
export const DEAD_LETTER_COMMAND = 'sluice-dead-letter-command';
export const DEAD_LETTER_KEY = 'sluice-dead-letter-key';
export const DEAD_LETTER_STATE = 'sluice-dead-letter-state';
export const DEAD_LETTER_DELIVERY = 'sluice-dead-letter-delivery';
export const DEAD_LETTER_ATTEMPTS = 'sluice-dead-letter-attempts';
export const DEAD_LETTER_HISTORY = 'sluice-dead-letter-history';

const OWN_PREFIXES = ['ce_', 'sluice-', 'kafka_'];

const NEVER_SENT = new Set([
  // Ours, without one of our prefixes.
  CONTENT_TYPE,
  TRACEPARENT,
  TRACESTATE,
  // Credentials end at the gateway.
  'authorization',
  'proxy-authorization',
  'cookie',
  // Spring Messaging gives these a meaning.
  'id',
  'timestamp',
  'contenttype',
  'replychannel',
  'errorchannel',
  'spring_json_header_types',
]);

/** Whether a policy's constant or a forwarded caller header may stand on a command record. Case does not matter. */
export function mayBeExtraHeader(name: string): boolean {
  const lowerName = name.toLowerCase();
  return !NEVER_SENT.has(lowerName) && !OWN_PREFIXES.some((prefix) => lowerName.startsWith(prefix));
}
