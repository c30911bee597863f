import { Failure } from '../../runtime/failure.ts';
import type { Operation } from '../operation.ts';
import type { OperationQuery, OperationReads, OperationSlice, RecordedEvent } from '../store-ports.ts';
import { type ListRequest, listPage, type OperationPage } from './list.ts';
import { askStore, lookUp, readEventPage } from './look-up.ts';
import { compareRebuilt, rebuildOperation } from './rebuild.ts';

/** One field of a row that its events do not give. */
export interface RebuildDifference {
  readonly operationId: string;
  readonly field: string;
  readonly row: unknown;
  readonly rebuilt: unknown;
}

export interface RebuildReport {
  readonly operations: number;
  readonly events: number;
  /** At most a hundred are listed. */
  readonly differences: readonly RebuildDifference[];
}

/** Operations that nobody has reported on in the time that their command allows. */
export interface UnreconciledReads {
  /**
   * Open ones past their deadline, and expired ones whose fate is `unknown`; newest first, ids below `beforeId`.
   * Throws `StoreError`.
   */
  listUnreconciled(query: { readonly beforeId: string | null; readonly limit: number }): Promise<readonly Operation[]>;
}

/** What an operator may do with everybody's operations: the management port and the command line. Throws `Failure`. */
export interface Administration {
  get(id: string): Promise<Operation>;
  /** `principal` null: everybody's. */
  list(request: ListRequest & { readonly principal: string | null }): Promise<OperationPage>;
  listUnreconciled(request: Pick<ListRequest, 'pageSize' | 'pageToken'>): Promise<OperationPage>;
  cancel(id: string): Promise<Operation>;
  /** Throws `OPERATION_DONE` too. */
  redrive(id: string): Promise<Operation>;
  readEvents(id: string, afterNumber: number): Promise<readonly RecordedEvent[]>;
  /**
   * Folds the events of every operation (or of one) again and says where its row differs. Changes nothing. `onCompared` is
   * told after each operation how many were compared so far.
   */
  rebuild(id: string | null, signal: AbortSignal, onCompared?: (count: number) => void): Promise<RebuildReport>;
}

const REBUILD_PAGE = 200;
const MAX_DIFFERENCES = 100;

export interface AdministratorDeps {
  readonly reads: OperationReads & UnreconciledReads;
  readonly cancel: (operation: Operation) => Promise<Operation>;
  readonly redrive: (operation: Operation) => Promise<Operation>;
}

export class Administrator implements Administration {
  readonly #deps: AdministratorDeps;

  constructor(deps: AdministratorDeps) {
    this.#deps = deps;
  }

  async get(id: string): Promise<Operation> {
    const operation = await lookUp(this.#deps.reads, id);
    if (operation !== null) return operation;
    throw new Failure('OPERATION_NOT_FOUND', `there is no operation ${id}`);
  }

  list(request: ListRequest & { readonly principal: string | null }): Promise<OperationPage> {
    const { principal } = request;
    return askStore(() => listPage(request, (query) => this.#deps.reads.list({ ...query, principal })));
  }

  listUnreconciled(request: Pick<ListRequest, 'pageSize' | 'pageToken'>): Promise<OperationPage> {
    const asked = { ...request, command: null, state: null };
    return askStore(() => listPage(asked, (query) => this.#sliceOfUnreconciled(query)));
  }

  /** None of them has a result, so they are small: one more than is shown says whether there are more. */
  async #sliceOfUnreconciled({ beforeId, limit }: Pick<OperationQuery, 'beforeId' | 'limit'>): Promise<OperationSlice> {
    const rows = await this.#deps.reads.listUnreconciled({ beforeId, limit: limit + 1 });
    return { operations: rows.slice(0, limit), hasMore: rows.length > limit };
  }

  async cancel(id: string): Promise<Operation> {
    const operation = await this.get(id);
    return askStore(() => this.#deps.cancel(operation));
  }

  async redrive(id: string): Promise<Operation> {
    const operation = await this.get(id);
    return askStore(() => this.#deps.redrive(operation));
  }

  async readEvents(id: string, afterNumber: number): Promise<readonly RecordedEvent[]> {
    await this.get(id);
    return readEventPage(this.#deps.reads, id, afterNumber);
  }

  async rebuild(
    id: string | null,
    signal: AbortSignal,
    onCompared: (count: number) => void = () => undefined,
  ): Promise<RebuildReport> {
    const report = { operations: 0, events: 0, differences: [] as RebuildDifference[] };
    for await (const row of id === null ? this.#all() : [await this.get(id)]) {
      if (signal.aborted) break;
      const whole = await this.#readWhole(row.id);
      // Purged meanwhile.
      if (whole === null) continue;
      const { operation, history } = whole;
      report.operations += 1;
      report.events += history.length;
      const found = compareRebuilt(operation, rebuildOperation(operation, history));
      report.differences.push(...found.slice(0, MAX_DIFFERENCES - report.differences.length));
      onCompared(report.operations);
    }
    return report;
  }

  /** The row first: events that come after it are not its own yet. */
  async #readWhole(id: string): Promise<{ operation: Operation; history: readonly RecordedEvent[] } | null> {
    const { reads } = this.#deps;
    const operation = await lookUp(reads, id);
    if (operation === null) return null;
    const history: RecordedEvent[] = [];
    while ((history.at(-1)?.number ?? 0) < operation.version) {
      const after = history.at(-1)?.number ?? 0;
      const page = await readEventPage(reads, id, after);
      const its = page.filter(({ number }) => number <= operation.version);
      if (its.length === 0) break;
      history.push(...its);
    }
    return { operation, history };
  }

  async *#all(): AsyncIterable<Operation> {
    let beforeId: string | null = null;
    for (;;) {
      const query: OperationQuery = { principal: null, command: null, state: null, beforeId, limit: REBUILD_PAGE };
      const { operations, hasMore }: OperationSlice = await askStore(() => this.#deps.reads.list(query));
      yield* operations;
      if (!hasMore) return;
      beforeId = (operations.at(-1) as Operation).id;
    }
  }
}
