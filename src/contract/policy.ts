/** From what contract and config say of a method to its policy. */

import type { DescMessage } from '@bufbuild/protobuf';
import type { FieldPath, Policy } from './command.ts';
import { formatDuration } from './durations.ts';
import { resolveFieldPath } from './field-path.ts';
import { checkStreams, resolveAttempts, resolveOrder } from './policy-delivery.ts';
import type { PolicyFields, ReportField } from './policy-fields.ts';

/** Parsed YAML: each entry has the snake_case names of `(sluice.v1.command)`. */
export interface ConfigPolicies {
  /** For every method that says nothing else. */
  readonly defaults?: unknown;
  /** By `orders.v1.Orders`. */
  readonly services?: Readonly<Record<string, unknown>>;
  /** By `orders.v1.Orders/CreateOrder` or `orders.v1.Orders.CreateOrder`. */
  readonly methods?: Readonly<Record<string, unknown>>;
  /** The config file, for problems. */
  readonly file?: string;
}

/** What the places say, strongest first, without the defaults. */
export interface PolicyLayers {
  readonly methodConfig: PolicyFields;
  readonly serviceConfig: PolicyFields;
  readonly option: PolicyFields;
  readonly configDefaults: PolicyFields;
}

const BUILT_IN = {
  wait: 10_000,
  max_wait: 60_000,
  timeout: 60_000,
  on_timeout: 'ACCEPT',
  record: 'AUTO',
  encoding: 'JSON',
  reply_partition: 'BOTH',
  success_status: 200,
  style: 'REPLY',
  idempotent: false,
  ordered: false,
  idempotency_key: 'OPTIONAL',
} as const satisfies PolicyFields;

export interface PolicySubject {
  readonly input: DescMessage;
  /** `orders.v1.Orders.CreateOrder` */
  readonly defaultTopic: string;
  /** Of topics and groups. Empty: none. */
  readonly topicNamespace: string;
  /** More than one request message a call. */
  readonly streamsRequests: boolean;
  /** The output type is google.longrunning.Operation. */
  readonly returnsOperation: boolean;
}

/** Reports what does not fit together; the policy returned is then of no use. */
export function resolvePolicy(subject: PolicySubject, layers: PolicyLayers, report: ReportField): Policy {
  const said: PolicyFields = { ...layers.option, ...layers.serviceConfig, ...layers.methodConfig };
  const fields = { ...BUILT_IN, ...layers.configDefaults, ...said };
  const json = {
    ...layers.configDefaults.json,
    ...layers.option.json,
    ...layers.serviceConfig.json,
    ...layers.methodConfig.json,
  };
  checkWaits(said, fields, report);
  checkStreams(subject, fields, report);
  if (subject.returnsOperation && fields.style === 'NOTIFY') {
    report('style', 'is NOTIFY on a method that returns an operation, expected REPLY');
  }
  const { maxAttempts, redeliverAfterMs } = resolveAttempts(said, fields, report);
  const ordered = resolveOrder(said, fields, report);
  return Object.freeze({
    topic: nameTopic(subject, fields.topic, report),
    key: fields.key === undefined ? null : readKey(subject.input, fields.key, report),
    // A default gives way to a shorter bound that was asked for.
    waitMs: Math.min(fields.wait, fields.max_wait, fields.timeout),
    maxWaitMs: fields.max_wait,
    timeoutMs: fields.timeout,
    onTimeout: fields.on_timeout,
    record: ordered ? 'ALWAYS' : fields.record,
    encoding: fields.encoding === 'PROTOBUF' ? 'protobuf' : 'json',
    json: Object.freeze({
      emitDefaults: json.emit_defaults ?? false,
      names: json.names === 'PROTO' ? 'proto' : 'json',
    }),
    replyPartition: fields.reply_partition.toLowerCase() as Policy['replyPartition'],
    successStatus: fields.success_status,
    style: fields.style,
    maxAttempts,
    redeliverAfterMs,
    workerGroup: fields.worker_group === undefined ? null : withNamespace(subject, fields.worker_group),
    ordered,
    idempotencyKey: fields.idempotency_key,
    constantHeaders: Object.freeze(fields.constant_headers ?? []),
    forwardHeaders: Object.freeze(fields.forward_headers ?? []),
    replyHeaders: Object.freeze(fields.reply_headers ?? []),
  });
}

function checkWaits(
  said: PolicyFields,
  fields: { readonly max_wait: number; readonly timeout: number },
  report: ReportField,
): void {
  if (said.wait === undefined) return;
  const found = `is ${formatDuration(said.wait)}, longer than`;
  if (said.wait > fields.timeout) report('wait', `${found} the timeout of ${formatDuration(fields.timeout)}`);
  if (said.wait > fields.max_wait) report('wait', `${found} max_wait of ${formatDuration(fields.max_wait)}`);
}

const MAX_TOPIC_LENGTH = 249;

function nameTopic(subject: PolicySubject, topic: string | undefined, report: ReportField): string {
  const name = withNamespace(subject, topic ?? subject.defaultTopic);
  if (name.length > MAX_TOPIC_LENGTH) report('topic', `"${name}" has ${name.length} characters, expected at most 249`);
  return name;
}

function withNamespace({ topicNamespace: namespace }: PolicySubject, name: string): string {
  const separator = namespace === '' || /[._-]$/.test(namespace) ? '' : '.';
  return `${namespace}${separator}${name}`;
}

function readKey(input: DescMessage, text: string, report: ReportField): FieldPath | null {
  const path = resolveFieldPath(input, text);
  if (typeof path !== 'string') return path;
  report('key', path);
  return null;
}
