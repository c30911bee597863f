/** Documents of the management port for people. Texts of callers and workers in them are shown without control characters. */
import type { Document } from './operations-desk.ts';
import { renderTable, showText } from './table.ts';

const MAX_CELL = 120;
/** What a report of differences holds at most. */
const MAX_DIFFERENCES = 100;

export function renderOperations(page: Document): string {
  const operations = page['operations'] as Document[];
  if (operations.length === 0) return 'No operations.\n';
  const names = ['id', 'state', 'attempt', 'command', 'principal', 'createdAt', 'updatedAt'];
  const headings = ['ID', 'STATE', 'ATTEMPT', 'COMMAND', 'PRINCIPAL', 'CREATED', 'UPDATED'];
  return renderTable([headings, ...operations.map((operation) => names.map((name) => showCell(operation[name])))]);
}

/** A line a member; what is not there is left out. */
export function renderOperation(operation: Document): string {
  const members = Object.entries(operation).filter(([, value]) => value !== null && value !== '');
  return renderTable(members.map(([name, value]) => [name, showValue(value)]));
}

export function renderEvents(history: Document): string {
  const events = history['events'] as Document[];
  if (events.length === 0) return 'No events.\n';
  return renderTable([['#', 'AT', 'EVENT', ''], ...events.map(rowOfEvent)]);
}

function rowOfEvent({ number, at, type, late, ...details }: Document): string[] {
  const said = Object.entries(details).map(([name, value]) => `${name} ${showDetail(value)}`);
  return [String(number), String(at), `${type}${late ? ' (late)' : ''}`, said.join(', ')];
}

/** Of a late result only the head is there. */
function showDetail(value: unknown): string {
  const { kept, ...head } = (value ?? {}) as { readonly kept?: unknown };
  return kept === false ? `${showCell(head)} (payload not kept)` : showCell(value);
}

/** A result that came before the cancellation stands. */
export function renderCancelled(operation: Document): string {
  const { id, state, done } = operation;
  if (state === 'cancelled') return showText(`${id} is cancelled.`).concat('\n');
  const reason = done ? `is ${state} already, and that stands` : `is ${state}`;
  return showText(`${id} ${reason}.`).concat('\n');
}

/** @param sendsAtOnce false where no gateway was asked, so that nothing is sent yet. */
export function renderRedriven({ id, attempt, deadline }: Document, sendsAtOnce: boolean): string {
  const what = sendsAtOnce ? 'is sent again' : 'is due to be sent again';
  return showText(`${id} ${what}: attempt ${attempt}, until ${deadline}.`).concat('\n');
}

export function renderRebuild(report: Document): string {
  const differences = report['differences'] as Document[];
  const read = `${report['operations']} operations, ${report['events']} events`;
  if (differences.length === 0) return `${read}: every row is what its events say.\n`;
  const names = ['operationId', 'field', 'row', 'rebuilt'];
  const rows = differences.map((difference) => names.map((name) => showCell(difference[name])));
  const table = renderTable([['OPERATION', 'FIELD', 'ROW', 'REBUILT'], ...rows]);
  const more = differences.length < MAX_DIFFERENCES ? '' : ' at least, which is all that is shown';
  return `${read}: ${differences.length} differences${more}.\n\n${table}`;
}

function showCell(value: unknown): string {
  const text = showValue(value);
  return text.length > MAX_CELL ? `${text.slice(0, MAX_CELL).toWellFormed()}…` : text;
}

function showValue(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
