import { Failure } from '../../runtime/failure.ts';
import { timeOfIdMs } from '../../runtime/ids.ts';
import type { SettlementWaits } from '../gateway-ports.ts';
import { isTerminal, type Operation, type Principal } from '../operation.ts';
import type { OperationReads, RecordedEvent } from '../store-ports.ts';
import { type ListRequest, listPage, type OperationPage } from './list.ts';
import { askStore, lookUp, readEventPage } from './look-up.ts';

export interface ResourceOptions {
  /** How long finished operations are kept. */
  readonly retentionMs: number;
  /** Whether anonymous callers may list the operations of anonymous callers. */
  readonly listAnonymous: boolean;
  /** Whether anonymous callers may send an operation again. */
  readonly adminAnonymous: boolean;
}

export interface ResourceDeps {
  readonly reads: OperationReads;
  readonly waits: SettlementWaits;
  readonly cancel: (operation: Operation) => Promise<Operation>;
  readonly redrive: (operation: Operation) => Promise<Operation>;
  /** Unix ms by the database's clock, which ids are made by. */
  readonly nowMs: () => number;
}

/** The status resource: what a caller may know of operations, and do. Somebody else's is as good as none. */
export class Resource {
  readonly #options: ResourceOptions;
  readonly #deps: ResourceDeps;

  constructor(options: ResourceOptions, deps: ResourceDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  async get(id: string, principal: Principal): Promise<Operation> {
    return this.#see(id, await lookUp(this.#deps.reads, id), principal);
  }

  async wait(
    id: string,
    principal: Principal,
    options: { readonly untilMs: number; readonly signal: AbortSignal; readonly unlessVersion?: number },
  ): Promise<Operation> {
    const known = await this.get(id, principal);
    const { unlessVersion } = options;
    const until = (operation: Operation) =>
      unlessVersion === undefined ? isTerminal(operation.state) : operation.version !== unlessVersion;
    if (until(known)) return known;
    // Read again once the wait is registered: what is settled between the two must not be missed.
    const waiting = { untilMs: options.untilMs, signal: options.signal, until };
    return (await askStore(() => this.#deps.waits.waitFor(id, waiting))) ?? known;
  }

  async cancel(id: string, principal: Principal): Promise<Operation> {
    const operation = await this.get(id, principal);
    return askStore(() => this.#deps.cancel(operation));
  }

  async redrive(id: string, principal: Principal): Promise<Operation> {
    const operation = await this.get(id, principal);
    if (!this.#isAdmin(principal)) throw new Failure('ADMIN_ONLY', 'only an admin may send an operation again');
    return askStore(() => this.#deps.redrive(operation));
  }

  async readEvents(id: string, principal: Principal, afterNumber: number): Promise<readonly RecordedEvent[]> {
    await this.get(id, principal);
    return readEventPage(this.#deps.reads, id, afterNumber);
  }

  async list(principal: Principal, request: ListRequest): Promise<OperationPage> {
    if (principal.id === '' && !this.#options.listAnonymous) {
      throw new Failure('LIST_NOT_PERMITTED', 'an anonymous caller gets no list of operations');
    }
    return askStore(() => listPage(request, (query) => this.#deps.reads.list({ ...query, principal: principal.id })));
  }

  /** Roles come with authentication; until then the only principal is the anonymous one. */
  #isAdmin(principal: Principal): boolean {
    return principal.id === '' && this.#options.adminAnonymous;
  }

  #see(id: string, operation: Operation | null, principal: Principal): Operation {
    if (operation !== null && operation.principal === principal.id) return operation;
    if (operation === null && timeOfIdMs(id) + this.#options.retentionMs < this.#deps.nowMs()) {
      throw new Failure('OPERATION_GONE', `operation ${id} is past its retention`);
    }
    throw new Failure('OPERATION_NOT_FOUND', `there is no operation ${id}`);
  }
}
