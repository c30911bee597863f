/**
 * Health, metrics and the operators' view of operations, on a port of their own so that callers never reach them and a
 * flood of calls never hides them. It reads no body.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Administration } from '../operations/resource/administration.ts';
import { assertNoBrowser, assertSwitchedOn, type OperationsSwitch } from './management-guard.ts';
import { isOperationsPath, OperationsDesk } from './management-operations.ts';
import { type ManagementPage, pageOfError, pageOfJson, pageOfText } from './management-page.ts';

export interface Readiness {
  /** False only for what is this instance's own: starting, draining, no lease yet. */
  readonly ready: boolean;
  /** Why it is not ready; empty where it is. */
  readonly reasons: readonly string[];
  /** What is shared and down at the moment, such as Kafka or the database: reported, and no reason to be red. */
  readonly degraded: readonly string[];
}

export interface ManagementSources {
  /** Called at each request; must not wait for anything. */
  readiness(): Readiness;
  readonly metrics: { render(): Promise<{ readonly text: string; readonly contentType: string }> };
  /** Left out: there are no operations routes. */
  readonly administration?: Administration;
}

export interface ManagementServer {
  /** Resolves with the port that is bound, which differs from the wanted one where that is 0. Rejects where it is taken. */
  listen(): Promise<{ readonly host: string; readonly port: number }>;
  /** Closes the port and every connection. May be called twice. */
  close(): Promise<void>;
}

export interface ManagementOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Whether operations are served; `auto` (default): where the host is a loopback address. */
  readonly operations?: OperationsSwitch;
}

const MAX_CONNECTIONS = 100;
const TIMEOUT_MS = 10_000;

export function createManagementServer(options: ManagementOptions, sources: ManagementSources): ManagementServer {
  const server = createServer({ requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS, keepAliveTimeout: TIMEOUT_MS });
  server.maxConnections = MAX_CONNECTIONS;
  const pages = new ManagementPages(options, sources);
  server.on('request', (request, response) => void serve(pages, request, response));
  return {
    listen: () => listen(server, options),
    close: () => close(server),
  };
}

/** The pages by request; never throws. */
class ManagementPages {
  readonly #options: ManagementOptions;
  readonly #sources: ManagementSources;
  readonly #desk: OperationsDesk | null;

  constructor(options: ManagementOptions, sources: ManagementSources) {
    this.#options = options;
    this.#sources = sources;
    this.#desk = sources.administration ? new OperationsDesk(sources.administration) : null;
  }

  async find(request: IncomingMessage, signal: AbortSignal): Promise<ManagementPage> {
    const path = (request.url ?? '/').split('?', 1)[0] as string;
    if (this.#desk && isOperationsPath(path)) return this.#findOperations(this.#desk, request, signal);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return pageOfText(405, 'only GET and HEAD are served here\n', { allow: 'GET, HEAD' });
    }
    try {
      return await this.#findOwn(path);
    } catch (error) {
      return pageOfText(500, `${(error as Error).message}\n`);
    }
  }

  async #findOwn(path: string): Promise<ManagementPage> {
    if (path === '/health/live') return pageOfJson(200, { status: 'live' });
    if (path === '/health/ready') return pageOfReadiness(this.#sources.readiness());
    if (path === '/metrics') return { status: 200, headers: {}, ...(await this.#sources.metrics.render()) };
    return pageOfText(404, 'served here: /health/live, /health/ready, /metrics, /operations\n');
  }

  async #findOperations(desk: OperationsDesk, request: IncomingMessage, signal: AbortSignal): Promise<ManagementPage> {
    const { host, operations = 'auto' } = this.#options;
    try {
      assertSwitchedOn(operations, host);
      assertNoBrowser(request, host);
    } catch (error) {
      return pageOfError(error);
    }
    return desk.answer({ method: request.method ?? 'GET', target: request.url ?? '/', signal });
  }
}

/** A connection with a body that nobody has read is closed: what is left of it must not be taken for a request. */
async function serve(pages: ManagementPages, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const page = await pages.find(request, gone.signal);
  if (page.status === 413) response.setHeader('connection', 'close');
  response.writeHead(page.status, {
    ...page.headers,
    'cache-control': 'no-store',
    'content-type': page.contentType,
    'content-length': Buffer.byteLength(page.text),
  });
  response.end(request.method === 'HEAD' ? undefined : page.text);
}

function pageOfReadiness({ ready, reasons, degraded }: Readiness): ManagementPage {
  const status = ready ? (degraded.length > 0 ? 'degraded' : 'ready') : 'not_ready';
  return pageOfJson(ready ? 200 : 503, { status, reasons, degraded });
}

function listen(server: Server, { host, port }: ManagementOptions): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      const bound = server.address() as AddressInfo;
      resolve({ host: bound.address, port: bound.port });
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
