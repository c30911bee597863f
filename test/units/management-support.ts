import type { Operation } from '../../src/operations/operation.ts';
import type { Administration, RebuildReport } from '../../src/operations/resource/administration.ts';
import type { OperationEvent, RecordedEvent } from '../../src/operations/store-ports.ts';
import { Failure } from '../../src/runtime/failure.ts';
import { anOperation } from '../support/operations.ts';

export const NO_DIFFERENCES: RebuildReport = { operations: 2, events: 5, differences: [] };

export function anEvent(number: number, parts: Partial<OperationEvent> = {}, late = false): RecordedEvent {
  const event: OperationEvent = {
    type: 'accepted',
    atMs: number * 1000,
    position: null,
    progress: null,
    result: null,
    error: null,
    published: null,
    by: null,
    afterAttempt: null,
    deadlineMs: null,
    ...parts,
  };
  return { number, event, late };
}

/** Operations in a list, newest last; what is asked of them is written down. A page token is the place in the list. */
export class FakeAdministration implements Administration {
  readonly asked: unknown[] = [];
  readonly operations: Operation[];
  events: readonly RecordedEvent[] = [];
  /** How many events one reading gives. */
  eventPage = 2;
  report: (signal: AbortSignal, onCompared: (count: number) => void) => Promise<RebuildReport> = async () =>
    NO_DIFFERENCES;

  constructor(operations: Operation[] = []) {
    this.operations = operations;
  }

  async get(id: string): Promise<Operation> {
    this.asked.push(['get', id]);
    const found = this.operations.find((operation) => operation.id === id);
    if (!found) throw new Failure('OPERATION_NOT_FOUND', `there is no operation ${id}`);
    return found;
  }

  async list(request: Parameters<Administration['list']>[0]) {
    this.asked.push(['list', request]);
    return this.#page(request);
  }

  async listUnreconciled(request: Parameters<Administration['listUnreconciled']>[0]) {
    this.asked.push(['listUnreconciled', request]);
    return this.#page(request);
  }

  #page({ pageSize, pageToken }: { readonly pageSize: number | null; readonly pageToken: string | null }) {
    const start = Number(pageToken ?? 0);
    const end = start + (pageSize ?? 50);
    return {
      operations: this.operations.slice(start, end),
      nextPageToken: end < this.operations.length ? String(end) : null,
    };
  }

  async cancel(id: string): Promise<Operation> {
    const found = await this.get(id);
    return found.state === 'succeeded' ? found : { ...found, state: 'cancelled' };
  }

  async redrive(id: string): Promise<Operation> {
    const found = await this.get(id);
    if (found.state === 'succeeded') throw new Failure('OPERATION_DONE', `operation ${id} is done`);
    return { ...found, attempt: found.attempt + 1 };
  }

  async readEvents(id: string, afterNumber: number): Promise<readonly RecordedEvent[]> {
    await this.get(id);
    return this.events.filter(({ number }) => number > afterNumber).slice(0, this.eventPage);
  }

  async rebuild(
    id: string | null,
    signal: AbortSignal,
    onCompared: (count: number) => void = () => undefined,
  ): Promise<RebuildReport> {
    this.asked.push(['rebuild', id]);
    return this.report(signal, onCompared);
  }
}

export function aSucceeded(json: string): Operation {
  const result = { value: Buffer.from(json), contentType: 'application/json', httpStatus: null, headers: [] };
  return anOperation({ state: 'succeeded', version: 3, principal: 'alice', result });
}
