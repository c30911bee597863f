/**
 * Health and metrics, on a port of their own so that callers never reach them and a flood of calls never hides them.
 * It takes GET and HEAD only, and reads no body.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

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
}

interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

const MAX_CONNECTIONS = 100;
const TIMEOUT_MS = 10_000;

export function createManagementServer(options: ManagementOptions, sources: ManagementSources): ManagementServer {
  const server = createServer({ requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS, keepAliveTimeout: TIMEOUT_MS });
  server.maxConnections = MAX_CONNECTIONS;
  server.on('request', (request, response) => void serve(sources, request, response));
  return {
    listen: () => listen(server, options),
    close: () => close(server),
  };
}

async function serve(sources: ManagementSources, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  const page = isRead ? await renderPage(sources, request) : renderText(405, 'only GET and HEAD are served here\n');
  if (!isRead) response.setHeader('allow', 'GET, HEAD');
  response.setHeader('cache-control', 'no-store');
  response.writeHead(page.status, { 'content-type': page.contentType, 'content-length': Buffer.byteLength(page.text) });
  response.end(request.method === 'HEAD' ? undefined : page.text);
}

async function renderPage(sources: ManagementSources, request: IncomingMessage): Promise<Page> {
  const path = (request.url ?? '/').split('?', 1)[0];
  try {
    if (path === '/health/live') return renderJson(200, { status: 'live' });
    if (path === '/health/ready') return renderReadiness(sources.readiness());
    if (path === '/metrics') return { status: 200, ...(await sources.metrics.render()) };
  } catch (error) {
    return renderText(500, `${(error as Error).message}\n`);
  }
  return renderText(404, 'served here: /health/live, /health/ready, /metrics\n');
}

function renderReadiness({ ready, reasons, degraded }: Readiness): Page {
  const status = ready ? (degraded.length > 0 ? 'degraded' : 'ready') : 'not_ready';
  return renderJson(ready ? 200 : 503, { status, reasons, degraded });
}

function renderJson(status: number, value: object): Page {
  return { status, contentType: 'application/json', text: `${JSON.stringify(value)}\n` };
}

function renderText(status: number, text: string): Page {
  return { status, contentType: 'text/plain; charset=utf-8', text };
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
