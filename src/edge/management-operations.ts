/**
 * What an operator may do with everybody's operations, as requests and pages: the routes under `/operations` of the
 * management port. The command line asks them too, without a server where no gateway runs.
 */
import type { Operation } from '../operations/operation.ts';
import type { Administration } from '../operations/resource/administration.ts';
import { Failure } from '../runtime/failure.ts';
import { writeEvent, writeOperation, writeRebuildReport } from './management-documents.ts';
import { type ManagementPage, pageOfError, pageOfJson } from './management-page.ts';
import { ManagementQuery } from './management-query.ts';

export interface ManagementRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

interface Route {
  readonly method: 'GET' | 'POST';
  readonly pattern: RegExp;
  readonly parameters: readonly string[];
  readonly run: (
    routes: OperationsDesk,
    asked: { readonly id: string; readonly query: ManagementQuery; readonly signal: AbortSignal },
  ) => Promise<object>;
}

const LIST = ['principal', 'command', 'state', 'page_size', 'page_token'];
const ID = '([^/:]{1,64})';

/** Of two that match the first counts. */
const ROUTES: readonly Route[] = [
  { method: 'GET', pattern: at(''), parameters: LIST, run: (desk, { query }) => desk.list(query) },
  { method: 'POST', pattern: at(':rebuild'), parameters: ['id'], run: (desk, asked) => desk.rebuild(asked) },
  { method: 'GET', pattern: at(':rebuild'), parameters: [], run: (desk) => desk.tellRebuild() },
  {
    method: 'GET',
    pattern: at('/unreconciled'),
    parameters: ['page_size', 'page_token'],
    run: (desk, { query }) => desk.listUnreconciled(query),
  },
  { method: 'GET', pattern: at(`/${ID}`), parameters: ['full'], run: (desk, asked) => desk.get(asked) },
  {
    method: 'GET',
    pattern: at(`/${ID}/events`),
    parameters: ['after', 'full'],
    run: (desk, asked) => desk.readEvents(asked),
  },
  { method: 'POST', pattern: at(`/${ID}:cancel`), parameters: [], run: (desk, { id }) => desk.cancel(id) },
  { method: 'POST', pattern: at(`/${ID}:redrive`), parameters: [], run: (desk, { id }) => desk.redrive(id) },
];

function at(rest: string): RegExp {
  return new RegExp(`^/operations${rest}$`);
}

/** Whether the path is one of an operations route, right or wrong. */
export function isOperationsPath(path: string): boolean {
  return /^\/operations(?:[/:]|$)/.test(path);
}

/** Answers operations requests with pages; never throws. At most one rebuild runs at a time: it reads every row. */
export class OperationsDesk {
  readonly #administration: Administration;
  /** Operations compared so far by the rebuild that runs; null where none does. */
  #compared: number | null = null;

  constructor(administration: Administration) {
    this.#administration = administration;
  }

  async answer(request: ManagementRequest): Promise<ManagementPage> {
    try {
      return pageOfJson(200, await this.#run(request));
    } catch (error) {
      return pageOfError(error);
    }
  }

  #run({ method, target, signal }: ManagementRequest): Promise<object> {
    const [path, query] = splitTarget(target);
    const route = findRoute(method, path);
    const id = route.pattern.exec(path)?.[1] ?? '';
    return route.run(this, { id, query: new ManagementQuery(query, route.parameters), signal });
  }

  async get({ id, query }: { readonly id: string; readonly query: ManagementQuery }): Promise<object> {
    return writeOperation(await this.#administration.get(id), { full: query.flag('full') });
  }

  /** `principal=` without a value is the anonymous one; without the parameter it is everybody. */
  async list(query: ManagementQuery): Promise<object> {
    const command = query.text('command') || null;
    const state = query.text('state') || null;
    const filters = { principal: query.text('principal'), command, state };
    return writePage(await this.#administration.list({ ...filters, ...readPaging(query) }));
  }

  async listUnreconciled(query: ManagementQuery): Promise<object> {
    return writePage(await this.#administration.listUnreconciled(readPaging(query)));
  }

  async readEvents({ id, query }: { readonly id: string; readonly query: ManagementQuery }): Promise<object> {
    const options = { full: query.flag('full') };
    const events = await this.#administration.readEvents(id, query.number('after') ?? 0);
    return { events: events.map((event) => writeEvent(event, options)) };
  }

  async cancel(id: string): Promise<object> {
    return writeOperation(await this.#administration.cancel(id), { full: false });
  }

  async redrive(id: string): Promise<object> {
    return writeOperation(await this.#administration.redrive(id), { full: false });
  }

  async rebuild(asked: { readonly query: ManagementQuery; readonly signal: AbortSignal }): Promise<object> {
    if (this.#compared !== null)
      throw new Failure('OVERLOADED', 'a rebuild is running already; it reads every operation');
    this.#compared = 0;
    const onCompared = (count: number) => {
      this.#compared = count;
    };
    try {
      const id = asked.query.text('id') || null;
      return writeRebuildReport(await this.#administration.rebuild(id, asked.signal, onCompared));
    } finally {
      this.#compared = null;
    }
  }

  async tellRebuild(): Promise<object> {
    return { running: this.#compared !== null, compared: this.#compared ?? 0 };
  }
}

function splitTarget(target: string): [path: string, query: string] {
  const mark = target.indexOf('?');
  return mark < 0 ? [target, ''] : [target.slice(0, mark), target.slice(mark + 1)];
}

/** @throws Failure ROUTE_NOT_FOUND or METHOD_NOT_ALLOWED */
function findRoute(method: string, path: string): Route {
  const routes = ROUTES.filter(({ pattern }) => pattern.test(path));
  if (routes.length === 0) throw new Failure('ROUTE_NOT_FOUND', 'the management port has no such operations route');
  const wanted = method === 'HEAD' ? 'GET' : method;
  const route = routes.find((each) => each.method === wanted);
  if (route) return route;
  const allow = routes.flatMap((each) => (each.method === 'GET' ? ['GET', 'HEAD'] : ['POST']));
  throw new Failure('METHOD_NOT_ALLOWED', `expected ${allow.join(' or ')}`, { allow });
}

function readPaging(query: ManagementQuery): { pageSize: number | null; pageToken: string | null } {
  return { pageSize: query.number('page_size'), pageToken: query.text('page_token') || null };
}

/** The token of the last page is empty (AIP-158). */
function writePage(page: { operations: readonly Operation[]; nextPageToken: string | null }): object {
  const operations = page.operations.map((operation) => writeOperation(operation, { full: false }));
  return { operations, nextPageToken: page.nextPageToken ?? '' };
}
