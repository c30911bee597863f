/** What the caller takes and what it sends (RFC 9110 sections 8.3, 8.4 and 12.5.1). All answers but streams of events are JSON. */

import { Failure } from '../../runtime/failure.ts';
import type { Incoming } from './incoming.ts';

const SERVED = ['application/json', 'application/problem+json'];
const JSON_CONTENT_TYPE = /^application\/json[ \t]*(?:;[ \t]*charset[ \t]*=[ \t]*(?:utf-8|"utf-8")[ \t]*)?;?[ \t]*$/i;
const RANGE = /^[ \t]*([!#$%&'*+.^_`|~0-9a-z-]+\/[!#$%&'*+.^_`|~0-9a-z-]+)[ \t]*((?:;.*)?)$/;
const WEIGHT = /;[ \t]*q[ \t]*=[ \t]*([0-9.]*)[ \t]*(?:;|$)/;

/** @throws Failure NOT_ACCEPTABLE: `Accept` admits neither application/json nor application/problem+json. */
export function requireAcceptable(accept: string | null, offered: readonly string[] = SERVED): void {
  if (accept === null || accept === '*/*' || accept === 'application/json') return;
  const ranges = parseAccept(accept);
  if (ranges.size === 0 || SERVED.some((type) => weigh(ranges, type) > 0)) return;
  throw new Failure('NOT_ACCEPTABLE', 'Accept admits no media type of this route', {
    violations: [{ header: 'accept', detail: `expected one that admits ${offered.join(' or ')}` }],
  });
}

const EVENT_STREAM = 'text/event-stream';

/**
 * How the caller wants a history: as a stream where it weighs that above JSON by name. An `EventSource` asks for it alone.
 * @throws Failure NOT_ACCEPTABLE
 */
export function requireEventsAcceptable(accept: string | null): 'list' | 'stream' {
  const ranges = parseAccept(accept ?? '');
  const streamWeight = ranges.get(EVENT_STREAM) ?? ranges.get('text/*') ?? 0;
  if (streamWeight > (ranges.get('application/json') ?? 0)) return 'stream';
  requireAcceptable(accept, [...SERVED, EVENT_STREAM]);
  return 'list';
}

/** Weight by media range. What is no media range is passed over. */
function parseAccept(accept: string): Map<string, number> {
  const ranges = new Map<string, number>();
  for (const element of accept.toLowerCase().split(',')) {
    const [, range, parameters = ''] = RANGE.exec(element) ?? [];
    if (range === undefined) continue;
    const weight = Number(WEIGHT.exec(parameters)?.[1] ?? 1);
    ranges.set(range, Math.max(ranges.get(range) ?? 0, Number.isFinite(weight) ? weight : 1));
  }
  return ranges;
}

/** The most specific range that fits decides. */
function weigh(ranges: ReadonlyMap<string, number>, type: string): number {
  return ranges.get(type) ?? ranges.get('application/*') ?? ranges.get('*/*') ?? 0;
}

/** @throws Failure MEDIA_TYPE_UNSUPPORTED: the body is not application/json in UTF-8, or is compressed. */
export function requireJsonBody(incoming: Incoming): void {
  const contentType = incoming.header('content-type');
  if (contentType !== 'application/json' && !JSON_CONTENT_TYPE.test(contentType ?? '')) {
    throw unsupported('content-type', `expected application/json in UTF-8, got ${contentType ?? 'none'}`);
  }
  const encoding = incoming.header('content-encoding');
  if (encoding !== null && encoding.toLowerCase() !== 'identity') {
    throw unsupported('content-encoding', `expected none, got ${encoding}`);
  }
}

function unsupported(header: string, detail: string): Failure {
  return new Failure('MEDIA_TYPE_UNSUPPORTED', `${header}: ${detail}`, { violations: [{ header, detail }] });
}
