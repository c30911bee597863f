/**
 * The fields of a policy: one table by which both `(sluice.v1.command)` and the config are read, so that they have the
 * same names, values and bounds.
 */

import { formatDuration, parseDurationMs } from './durations.ts';
import { suggestName } from './nearest.ts';

/** What one place says; every field may be missing. */
export interface PolicyFields {
  readonly topic?: string;
  readonly key?: string;
  readonly wait?: number;
  readonly max_wait?: number;
  readonly timeout?: number;
  readonly on_timeout?: 'ACCEPT' | 'FAIL';
  readonly record?: 'AUTO' | 'ALWAYS';
  readonly encoding?: 'JSON' | 'PROTOBUF';
  readonly json?: { readonly emit_defaults?: boolean; readonly names?: 'JSON' | 'PROTO' };
  readonly reply_partition?: 'BOTH' | 'SPRING' | 'NEST' | 'NONE';
  readonly success_status?: number;
  readonly style?: 'REPLY' | 'NOTIFY';
  readonly idempotent?: boolean;
  readonly redeliver_after?: number;
  readonly max_attempts?: number;
  readonly worker_group?: string;
  readonly ordered?: boolean;
  readonly idempotency_key?: 'OPTIONAL' | 'REQUIRED';
  readonly constant_headers?: ReadonlyArray<readonly [string, string]>;
  readonly forward_headers?: readonly string[];
  readonly reply_headers?: readonly string[];
}

/** Told of each problem: the key (with dots where nested) and what was found and expected. */
export type ReportField = (key: string, message: string) => void;

/** Returns undefined after a report. */
type FieldReader = (value: unknown, report: (message: string) => void) => unknown;

const HOUR_MS = 3_600_000;
const MAX_HEADERS = 64;
const MAX_HEADER_VALUE_LENGTH = 4096;
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$/;
const TOPIC_NAME = /^[A-Za-z0-9._-]{1,249}$/;
/** Kafka takes any text for a group; what would not survive a command line is refused. */
const GROUP_NAME = /^[!-~]{1,249}$/;

/** Set by Sluice, or given a meaning by Spring that the header would not have. */
const TAKEN_RECORD_HEADER =
  /^(?:ce_.*|kafka_.*|sluice-.*|traceparent|tracestate|content-type|id|timestamp|contenttype|replychannel|errorchannel|spring_json_header_types)$/i;
const SECRET_HEADER = /^(?:authorization|cookie|proxy-authorization)$/i;
const HTTP_OWN_HEADER =
  /^(?:content-length|content-type|content-encoding|transfer-encoding|connection|keep-alive|upgrade|trailer|te|location|operation-location|preference-applied|retry-after|vary|grpc-.*)$/i;

const TABLE: Readonly<Record<string, FieldReader>> = {
  topic: readTopic,
  key: readText,
  wait: duration(0, HOUR_MS),
  max_wait: duration(0, HOUR_MS),
  timeout: duration(1, 168 * HOUR_MS),
  on_timeout: oneOf('ACCEPT', 'FAIL'),
  record: oneOf('AUTO', 'ALWAYS'),
  encoding: readEncoding,
  json: readJson,
  reply_partition: oneOf('BOTH', 'SPRING', 'NEST', 'NONE'),
  success_status: wholeNumber(200, 299),
  style: oneOf('REPLY', 'NOTIFY'),
  idempotent: readBoolean,
  redeliver_after: duration(1, 168 * HOUR_MS),
  max_attempts: wholeNumber(1, 100),
  worker_group: readGroup,
  ordered: readBoolean,
  idempotency_key: oneOf('OPTIONAL', 'REQUIRED'),
  constant_headers: readConstantHeaders,
  forward_headers: headerNames((name) => TAKEN_RECORD_HEADER.test(name) || SECRET_HEADER.test(name)),
  reply_headers: headerNames((name) => HTTP_OWN_HEADER.test(name)),
  backlog: reserved,
  limits: reserved,
  breaker: reserved,
  auth: reserved,
};

/** Every name that the table has, the reserved ones too. */
export const POLICY_FIELD_NAMES: readonly string[] = Object.freeze(Object.keys(TABLE));

/** Names within `json`. */
export const JSON_FIELD_NAMES: readonly string[] = Object.freeze(['emit_defaults', 'names']);

/** @param raw parsed YAML, or the option as JSON with proto names. What is wrong is reported and left out. */
export function readPolicyFields(raw: unknown, report: ReportField): PolicyFields {
  if (raw === undefined || raw === null) return {};
  if (typeof raw !== 'object' || Array.isArray(raw)) {
    report('', `is ${show(raw)}, expected a mapping of policy fields`);
    return {};
  }
  const fields: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(raw)) {
    const read = Object.hasOwn(TABLE, key) ? TABLE[key] : undefined;
    if (!read) {
      report(key, `is no policy field${suggestName(key, POLICY_FIELD_NAMES)}`);
      continue;
    }
    const result = read(value, (message) => report(key, message));
    if (result !== undefined) fields[key] = result;
  }
  return fields as PolicyFields;
}

function reserved(_value: unknown, report: (message: string) => void): undefined {
  report('is reserved: this version does not serve it');
}

function readText(value: unknown, report: (message: string) => void): string | undefined {
  if (typeof value === 'string' && value !== '' && value.length <= 1000) return value;
  report(`is ${show(value)}, expected a text that is not empty`);
  return undefined;
}

function readTopic(value: unknown, report: (message: string) => void): string | undefined {
  if (typeof value === 'string' && TOPIC_NAME.test(value) && !/^\.{1,2}$/.test(value)) return value;
  report(`is ${show(value)}, expected a Kafka topic name: 1 to 249 of letters, digits, ".", "_" and "-"`);
  return undefined;
}

function readGroup(value: unknown, report: (message: string) => void): string | undefined {
  if (typeof value === 'string' && GROUP_NAME.test(value)) return value;
  report(`is ${show(value)}, expected the name of a consumer group: 1 to 249 visible ASCII characters`);
  return undefined;
}

function readBoolean(value: unknown, report: (message: string) => void): boolean | undefined {
  if (typeof value === 'boolean') return value;
  report(`is ${show(value)}, expected true or false`);
  return undefined;
}

function duration(minMs: number, maxMs: number): FieldReader {
  return (value, report) => {
    const durationMs = typeof value === 'string' ? parseDurationMs(value) : null;
    if (durationMs !== null && durationMs >= minMs && durationMs <= maxMs) return durationMs;
    const bounds = `from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`;
    report(`is ${show(value)}, expected a duration such as "500ms", "5s", "2m" or "1h", ${bounds}`);
    return undefined;
  };
}

function wholeNumber(min: number, max: number): FieldReader {
  return (value, report) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    report(`is ${show(value)}, expected a whole number from ${min} to ${max}`);
    return undefined;
  };
}

function oneOf(...names: string[]): FieldReader {
  return (value, report) => {
    const name = typeof value === 'string' ? value.toUpperCase() : '';
    if (names.includes(name)) return name;
    report(`is ${show(value)}, expected ${names.join(' or ')}`);
    return undefined;
  };
}

function readEncoding(value: unknown, report: (message: string) => void): unknown {
  if (typeof value === 'string' && value.toUpperCase() === 'AVRO') return reserved(value, report);
  return oneOf('JSON', 'PROTOBUF')(value, report);
}

function readJson(value: unknown, report: (message: string) => void): PolicyFields['json'] | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report(`is ${show(value)}, expected a mapping of emit_defaults and names`);
    return undefined;
  }
  const json: { emit_defaults?: boolean; names?: 'JSON' | 'PROTO' } = {};
  for (const [key, member] of Object.entries(value)) {
    if (key === 'emit_defaults' && typeof member === 'boolean') json.emit_defaults = member;
    else if (key === 'emit_defaults') report(`has emit_defaults ${show(member)}, expected true or false`);
    else if (key === 'names') {
      const names = oneOf('JSON', 'PROTO')(member, (message) => report(`has names that ${message}`));
      if (names) json.names = names as 'JSON' | 'PROTO';
    } else report(`has "${key}", which is no field of it${suggestName(key, JSON_FIELD_NAMES)}`);
  }
  return json;
}

function readConstantHeaders(value: unknown, report: (message: string) => void): PolicyFields['constant_headers'] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report(`is ${show(value)}, expected a mapping of header names to texts`);
    return undefined;
  }
  const entries = Object.entries(value);
  if (entries.length > MAX_HEADERS) report(`has ${entries.length} headers, expected at most ${MAX_HEADERS}`);
  return entries.filter((entry): entry is [string, string] => {
    const [name, text] = entry;
    if (!HEADER_NAME.test(name)) report(`has the name "${name}", expected a header name`);
    else if (TAKEN_RECORD_HEADER.test(name))
      report(`has the name "${name}", which has a meaning of its own in records`);
    else if (typeof text !== 'string' || text.length > MAX_HEADER_VALUE_LENGTH) {
      report(`has ${show(text)} for "${name}", expected a text of at most ${MAX_HEADER_VALUE_LENGTH} characters`);
    } else return true;
    return false;
  });
}

function headerNames(isForbidden: (name: string) => boolean): FieldReader {
  return (value, report) => {
    if (!Array.isArray(value)) {
      report(`is ${show(value)}, expected a list of header names`);
      return undefined;
    }
    if (value.length > MAX_HEADERS) report(`has ${value.length} names, expected at most ${MAX_HEADERS}`);
    return value.flatMap((name: unknown) => {
      if (typeof name !== 'string' || !HEADER_NAME.test(name)) report(`has ${show(name)}, expected a header name`);
      else if (isForbidden(name)) report(`has "${name}", which may not be listed here`);
      else return [name.toLowerCase()];
      return [];
    });
  };
}

function show(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'a mapping';
  return (JSON.stringify(value) ?? 'nothing').slice(0, 80);
}
