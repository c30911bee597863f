/**
 * Who may use the operations routes of the management port. Nobody is authenticated there, so what protects them is that
 * only this machine reaches them, and that a web page in a browser of this machine does not.
 */
import type { IncomingMessage } from 'node:http';
import { Failure } from '../runtime/failure.ts';
import { isLoopback } from '../runtime/loopback.ts';

/** `auto`: where the port is bound to a loopback address. */
export type OperationsSwitch = 'auto' | 'true' | 'false';

/** A body means nothing here; a small one is let pass for clients that cannot do without. */
const MAX_BODY_BYTES = 1024;

export function assertSwitchedOn(setting: OperationsSwitch, host: string): void {
  if (setting === 'true' || (setting === 'auto' && isLoopback(host))) return;
  const reason =
    setting === 'auto' ? `management.host is ${host}, which others can reach` : 'management.operations is false';
  throw new Failure(
    'ROUTE_NOT_FOUND',
    `operations are not served here, as ${reason}; management.operations: true (MANAGEMENT_OPERATIONS=true) serves them to whoever reaches this port`,
  );
}

/**
 * Refuses what a page of a web site could make a browser send: a request with `Origin` (all cross-site ones that change
 * something), a change without a JSON content type (a form cannot say that, and a script that says it is asked for a
 * preflight, which nobody answers), and, on a loopback port, a `Host` that is no loopback name (a name of the page's own
 * site that was pointed at this machine, so that the browser takes it for the same site).
 * @throws Failure ADMIN_ONLY, MEDIA_TYPE_UNSUPPORTED or REQUEST_TOO_LARGE
 */
export function assertNoBrowser(request: IncomingMessage, host: string): void {
  const { headers } = request;
  if (headers.origin !== undefined)
    throw new Failure('ADMIN_ONLY', 'requests of web pages (with Origin) are refused here');
  if (isLoopback(host) && !isLoopback(nameOfHost(headers.host ?? ''))) {
    throw new Failure('ADMIN_ONLY', 'this port is asked by the name localhost or by a loopback address only');
  }
  if (request.method === 'POST') assertJson(headers['content-type'] ?? '');
  assertNoBody(request);
}

/** The content type is a sign that no form sent this, whether or not there is a body. */
function assertJson(contentType: string): void {
  if (/^application\/json\s*(?:;|$)/i.test(contentType)) return;
  const detail = 'expected application/json, also without a body';
  throw new Failure('MEDIA_TYPE_UNSUPPORTED', `content-type: ${detail}`, {
    violations: [{ detail, header: 'content-type' }],
  });
}

function assertNoBody({ headers }: IncomingMessage): void {
  const isSmall = Number(headers['content-length'] ?? 0) <= MAX_BODY_BYTES;
  if (isSmall && headers['transfer-encoding'] === undefined) return;
  throw new Failure('REQUEST_TOO_LARGE', `no body is read here: at most ${MAX_BODY_BYTES} bytes are let pass`);
}

/** `[::1]:8081` and `localhost:8081` without port and brackets. */
function nameOfHost(host: string): string {
  return host
    .replace(/:[0-9]+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
}
