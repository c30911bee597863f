/** `sluice operations`: asks, pages through, prints. */
import { systemClock } from '../runtime/clock.ts';
import { OPERATIONS_HELP, type OperationsCall, readOperationsCall, WrongCall } from './operations-arguments.ts';
import type { Desk, Document } from './operations-desk.ts';
import {
  renderCancelled,
  renderEvents,
  renderOperation,
  renderOperations,
  renderRebuild,
  renderRedriven,
} from './operations-tables.ts';
import { tellProgress } from './rebuild-progress.ts';

/** Sets the exit code: 0, 1 where a rebuild finds differences, 2 for a wrong call. @throws Error with what went wrong. */
export async function runOperations(args: readonly string[]): Promise<void> {
  const call = readCall(args);
  if (call === null) return;
  const { openDesk } = await import('./operations-desk.ts');
  const desk = await openDesk(call);
  try {
    await ACTIONS[call.action](desk, call);
  } finally {
    await desk.close();
  }
}

function readCall(args: readonly string[]): OperationsCall | null {
  try {
    const call = readOperationsCall(args);
    if (call === null) process.stdout.write(OPERATIONS_HELP);
    return call;
  } catch (error) {
    if (!(error instanceof WrongCall)) throw error;
    process.stderr.write(`${error.message.trimEnd()}\n`);
    process.exitCode = 2;
    return null;
  }
}

const ACTIONS: Readonly<Record<OperationsCall['action'], (desk: Desk, call: OperationsCall) => Promise<void>>> = {
  list: (desk, call) => list(desk, call, '/operations'),
  unreconciled: (desk, call) => list(desk, call, '/operations/unreconciled'),
  get: async (desk, call) => print(call, await desk.ask('GET', `${pathOf(call)}${fullOf(call)}`), renderOperation),
  events,
  cancel: async (desk, call) => print(call, await desk.ask('POST', `${pathOf(call)}:cancel`), renderCancelled),
  redrive,
  rebuild,
};

const MAX_PAGE_SIZE = 1000;

/** Page by page up to the limit; the token of what is left goes to standard error, so that the table stays a table. */
async function list(desk: Desk, call: OperationsCall, path: string): Promise<void> {
  const operations: Document[] = [];
  let pageToken = call.pageToken ?? '';
  do {
    const query = new URLSearchParams(filtersOf(call));
    query.set('page_size', String(Math.min(call.limit - operations.length, MAX_PAGE_SIZE)));
    if (pageToken !== '') query.set('page_token', pageToken);
    const page = await desk.ask('GET', `${path}?${query}`);
    operations.push(...(page['operations'] as Document[]));
    pageToken = String(page['nextPageToken'] ?? '');
  } while (pageToken !== '' && operations.length < call.limit);
  print(call, { operations, nextPageToken: pageToken }, renderOperations);
  if (pageToken !== '' && !call.json) process.stderr.write(`There are more: --page-token ${pageToken}\n`);
}

function filtersOf({ principal, command, state }: OperationsCall): Record<string, string> {
  return {
    ...(principal !== null && { principal }),
    ...(command !== null && { command }),
    ...(state !== null && { state }),
  };
}

/** The history comes in parts; it is at its end where a part is empty. */
async function events(desk: Desk, call: OperationsCall): Promise<void> {
  const found: Document[] = [];
  let after = call.after;
  for (;;) {
    const part = await desk.ask('GET', `${pathOf(call)}/events?after=${after}${call.full ? '&full=1' : ''}`);
    const newer = part['events'] as Document[];
    if (newer.length === 0) break;
    found.push(...newer);
    after = Number(newer.at(-1)?.['number']);
  }
  print(call, { events: found }, renderEvents);
}

/** Who will send it is said once it is certain that anybody will. */
async function redrive(desk: Desk, call: OperationsCall): Promise<void> {
  const operation = await desk.ask('POST', `${pathOf(call)}:redrive`);
  print(call, operation, (document) => renderRedriven(document, desk.sendsAtOnce));
  if (desk.sendsAtOnce) return;
  process.stderr.write('The command is sent by a gateway of this database, as soon as one runs.\n');
}

async function rebuild(desk: Desk, call: OperationsCall): Promise<void> {
  const query = call.id === null ? '' : `?id=${encodeURIComponent(call.id)}`;
  const asked = desk.ask('POST', `/operations:rebuild${query}`);
  const report = await tellProgress(asked, { desk, output: process.stderr, clock: systemClock });
  print(call, report, renderRebuild);
  if ((report['differences'] as unknown[]).length > 0) process.exitCode = 1;
}

function pathOf({ id }: OperationsCall): string {
  return `/operations/${encodeURIComponent(id ?? '')}`;
}

function fullOf({ full }: OperationsCall): string {
  return full ? '?full=1' : '';
}

function print(call: OperationsCall, document: Document, render: (document: Document) => string): void {
  process.stdout.write(call.json ? `${JSON.stringify(document, null, 2)}\n` : render(document));
}
