import { isOperationId } from '../runtime/ids.ts';
import type { Correlation } from './reply.ts';

const PATTERN = /^([0-9a-f-]{36})\.(\d{1,6})\.(?:r|u([0-9a-z]{1,32}))$/;

/**
 * The correlation id: `<operation id>.<home partition>.r` for a recorded operation, `….u<boot id>` for a call without a
 * row. ASCII without a leading `{`, `[` or NUL, which a NestJS worker would try to parse. Opaque to workers.
 */
export function formatCorrelation(correlation: Correlation): string {
  const mark = correlation.unrecordedBy === null ? 'r' : `u${correlation.unrecordedBy}`;
  return `${correlation.operationId}.${correlation.homePartition}.${mark}`;
}

/** Null where the text is none of ours: another system may share the reply topic. */
export function parseCorrelation(text: string): Correlation | null {
  const match = PATTERN.exec(text);
  if (!match || !isOperationId(match[1] as string)) return null;
  return { operationId: match[1] as string, homePartition: Number(match[2]), unrecordedBy: match[3] ?? null };
}
