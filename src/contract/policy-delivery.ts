/** The part of a policy that says how often a command is sent, in which order, and how callers keep from doubling it. */

import type { Policy } from './command.ts';
import { formatDuration } from './durations.ts';
import type { PolicyFields, ReportField } from './policy-fields.ts';

/** Such a call is never recorded before it is sent. */
export function checkStreams(
  subject: { readonly streamsRequests: boolean },
  fields: Pick<PolicyFields, 'record' | 'ordered' | 'idempotency_key'>,
  report: ReportField,
): void {
  if (!subject.streamsRequests) return;
  const where = 'on a method that streams requests, which is never recorded before it is sent';
  if (fields.record === 'ALWAYS') report('record', `is ALWAYS ${where}, expected AUTO`);
  if (fields.ordered) report('ordered', `is true ${where}, expected false`);
  if (fields.idempotency_key === 'REQUIRED') report('idempotency_key', `is REQUIRED ${where}, expected OPTIONAL`);
}

const DEFAULT_ATTEMPTS = 5;
const DEFAULT_REDELIVER_AFTER_MS = 30_000;

/** Fields that a command's own sayings and all defaults together give. */
type Joined = PolicyFields & { readonly timeout: number; readonly idempotent: boolean; readonly ordered: boolean };

/**
 * A worker may be given a command twice only where the team says that this does no harm. What the config's `defaults` say
 * gives way where it does not fit.
 */
export function resolveAttempts(
  said: PolicyFields,
  fields: Joined,
  report: ReportField,
): Pick<Policy, 'maxAttempts' | 'redeliverAfterMs'> {
  const { idempotent, ordered, timeout } = fields;
  const needs = 'without `idempotent: true`, which says that a worker may be given the command twice';
  if (!idempotent && (said.max_attempts ?? 1) > 1) report('max_attempts', `is ${said.max_attempts} ${needs}`);
  if (!idempotent && said.redeliver_after !== undefined) report('redeliver_after', `is said ${needs}`);
  if (said.redeliver_after !== undefined && said.redeliver_after >= timeout) {
    const found = `is ${formatDuration(said.redeliver_after)}`;
    report('redeliver_after', `${found}, expected less than the timeout of ${formatDuration(timeout)}`);
  }
  const maxAttempts = idempotent && !ordered ? (fields.max_attempts ?? DEFAULT_ATTEMPTS) : 1;
  if (maxAttempts === 1) return { maxAttempts, redeliverAfterMs: null };
  const unsaid = Math.min(fields.redeliver_after ?? DEFAULT_REDELIVER_AFTER_MS, Math.ceil(timeout / 2));
  return { maxAttempts, redeliverAfterMs: said.redeliver_after ?? unsaid };
}

/** A command sent again would overtake itself, and one without a row has no place in an order. */
export function resolveOrder(said: PolicyFields, fields: Joined, report: ReportField): boolean {
  if (!fields.ordered) return false;
  if (fields.key === undefined) report('ordered', 'is true without a `key`: commands of one key are kept in order');
  if (said.record === 'AUTO') report('record', 'is AUTO on an ordered command, expected ALWAYS or nothing');
  if ((said.max_attempts ?? 1) > 1) {
    report('max_attempts', `is ${said.max_attempts} on an ordered command, which is sent once: expected 1 or nothing`);
  }
  return true;
}
