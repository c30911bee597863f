/** REST: Hono on Node's HTTP server. Own routes are Hono's, all commands go through one catch-all. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Contract } from '../../contract/contract.ts';
import type { Clock } from '../../runtime/clock.ts';
import { Failure } from '../../runtime/failure.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import type { Handle, OperationResource } from '../call.ts';
import { ActionRoutes } from './action-routes.ts';
import { createApp, type RestApp, toResponse } from './app.ts';
import { ALL_METHODS, CommandRoutes, refuseMethod } from './command-routes.ts';
import { failureOfParser, writeOnSocket } from './connection-errors.ts';
import type { RestAnswer } from './exchange.ts';
import { HistoryRoutes } from './history-routes.ts';
import { NodeIncoming, UNREAD } from './incoming.ts';
import { type LinkOptions, Links } from './links.ts';
import { OperationRoutes } from './operations-routes.ts';
import { checkHead, type HeadLimits } from './request-head.ts';
import { Responder } from './responder.ts';

export interface RestOptions extends LinkOptions, HeadLimits {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly maxBodyBytes: number;
  readonly maxConnections: number;
  /** For the whole request to arrive. */
  readonly requestTimeoutMs: number;
  /** For its head to arrive. */
  readonly headersTimeoutMs: number;
  /** How long a connection may be idle between requests; above that of the proxies in front. */
  readonly keepAliveTimeoutMs: number;
  /** The longest that a status request is kept open, whatever the caller asks for. */
  readonly maxLongPollMs: number;
  /** `Retry-After` of what is not done yet. */
  readonly pollAfterMs: number;
  /** Streams of operation histories that may be open at once. */
  readonly maxEventStreams: number;
}

export const DEFAULT_REST_OPTIONS: Omit<RestOptions, 'host' | 'port'> = Object.freeze({
  publicUrl: null,
  basePath: '',
  trustedProxies: [],
  maxBodyBytes: 768 * 1024,
  maxUrlBytes: 8192,
  maxHeaderBytes: 16_384,
  maxHeaderCount: 100,
  maxConnections: 10_000,
  requestTimeoutMs: 30_000,
  headersTimeoutMs: 10_000,
  keepAliveTimeoutMs: 65_000,
  maxLongPollMs: 60_000,
  pollAfterMs: 1000,
  maxEventStreams: 1000,
});

export interface RestDependencies {
  readonly contract: Pick<Contract, 'commands' | 'routes'>;
  readonly handle: Handle;
  readonly operations: OperationResource;
  /** The OpenAPI document as JSON. */
  readonly openapi: () => string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly requestIds: { next(): string };
}

const CONNECTION_CHECK_MS = 1000;

type Listener = (incoming: IncomingMessage, outgoing: ServerResponse) => unknown;

export function createRestServer(options: RestOptions, dependencies: RestDependencies): RestServer {
  return new RestServer(options, dependencies);
}

/**
 * `listen` once, then `beginDrain`, then `close`; `close` alone is enough. Draining: no new connections, commands on the
 * open ones are refused with `NOT_READY`, the status resource still answers, streams of events end, and every answer closes
 * its connection.
 */
export class RestServer {
  readonly #options: RestOptions;
  readonly #clock: Clock;
  readonly #responder: Responder;
  readonly #app: RestApp;
  readonly #server: Server;
  readonly #draining = new AbortController();
  /** Set once the server was told to stop; resolves when the last connection is gone. */
  #closed: Promise<void> | null = null;

  /** @throws Error where `publicUrl` or a trusted proxy cannot be read. */
  constructor(options: RestOptions, dependencies: RestDependencies) {
    const links = new Links(options);
    const isDraining = () => this.#draining.signal.aborted;
    this.#options = options;
    this.#clock = dependencies.clock;
    this.#responder = new Responder({ ...dependencies, links, isDraining });
    this.#app = this.#createApp(dependencies, links, isDraining);
    this.#server = this.#createServer();
  }

  /** Rejects where the port cannot be had. */
  listen(): Promise<{ port: number }> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.port, this.#options.host, () => {
        this.#server.off('error', reject);
        resolve({ port: (this.#server.address() as AddressInfo).port });
      });
    });
  }

  /** A call inside the process, without a socket. */
  async fetch(request: Request): Promise<Response> {
    return this.#app.fetch(request);
  }

  beginDrain(): void {
    this.#draining.abort();
    this.#closed ??= new Promise((resolve) => this.#server.close(() => resolve()));
  }

  /** Resolves when all calls have ended; those that are open after `timeoutMs` are cut off. */
  async close(timeoutMs: number): Promise<void> {
    this.beginDrain();
    const cancel = this.#clock.setTimer(() => this.#server.closeAllConnections(), timeoutMs);
    await this.#closed;
    cancel();
  }

  #createApp(dependencies: RestDependencies, links: Links, isDraining: () => boolean): RestApp {
    const { contract, handle, openapi, operations, clock, metrics } = dependencies;
    const { maxBodyBytes, maxLongPollMs, pollAfterMs, maxEventStreams, basePath } = this.#options;
    const { commands } = contract;
    const draining = this.#draining.signal;
    return createApp({
      basePath,
      openapi,
      responder: this.#responder,
      operations: new OperationRoutes({ commands, operations, links, clock, maxLongPollMs, pollAfterMs }),
      actions: new ActionRoutes({ commands, operations, links, pollAfterMs }),
      history: new HistoryRoutes({ operations, links, clock, metrics, maxEventStreams, pollAfterMs, draining }),
      commands: new CommandRoutes({ routes: contract.routes, handle, links, maxBodyBytes, pollAfterMs, isDraining }),
    });
  }

  #createServer(): Server {
    const { maxHeaderBytes, maxUrlBytes, maxHeaderCount } = this.#options;
    const listener: Listener = getRequestListener((request, env) => this.#app.fetch(request, env as never), {
      hostname: 'localhost',
      errorHandler: (error) => this.#answerUnreadable(error),
    });
    const options = {
      // Node counts the target among the header's bytes; each has a limit of its own here, held by `checkHead`.
      maxHeaderSize: maxHeaderBytes + maxUrlBytes,
      requestTimeout: this.#options.requestTimeoutMs,
      headersTimeout: this.#options.headersTimeoutMs,
      keepAliveTimeout: this.#options.keepAliveTimeoutMs,
      connectionsCheckingInterval: CONNECTION_CHECK_MS,
      // Held by `checkHead`, which answers with a problem.
      requireHostHeader: false,
      noDelay: true,
    };
    const server = createServer(options, (incoming, outgoing) => this.#accept(incoming, outgoing, listener));
    // One more than may be, so that too many can be told from as many as may be: Node drops the rest in silence.
    server.maxHeadersCount = maxHeaderCount + 1;
    server.maxConnections = this.#options.maxConnections;
    // The body is asked for only once it is wanted (`NodeIncoming.readBody`).
    server.on('checkContinue', (incoming, outgoing) => this.#accept(incoming, outgoing, listener));
    server.on('checkExpectation', (incoming, outgoing) => this.#refuseExpectation(incoming, outgoing));
    server.on('clientError', (error, socket) => this.#refuseConnection(error, socket as Socket));
    return server;
  }

  #accept(incoming: IncomingMessage, outgoing: ServerResponse, listener: Listener): void {
    try {
      checkHead(incoming, this.#options);
    } catch (error) {
      this.#answerDirectly(incoming, outgoing, () => Promise.reject(error));
      return;
    }
    if (incoming.url !== '*') listener(incoming, outgoing);
    else this.#answerDirectly(incoming, outgoing, () => refuseMethod('OPTIONS', ALL_METHODS));
  }

  #refuseExpectation(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const violations = [{ header: 'expect', detail: 'expected 100-continue or nothing' }];
    const failure = new Failure('HEADER_INVALID', 'the expectation is not known', { violations });
    this.#answerDirectly(incoming, outgoing, () => Promise.reject(failure));
  }

  /** For requests that no route is asked about; the connection may be out of step and is closed. */
  #answerDirectly(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    route: () => RestAnswer | Promise<RestAnswer>,
  ): void {
    const exchange = this.#responder.open(new NodeIncoming(incoming, outgoing, null));
    void this.#responder.run(exchange, route).then(({ status, headers, body }) => {
      outgoing.writeHead(status, { ...headers, connection: 'close' }).end(body);
    });
  }

  #refuseConnection(error: Error & { code?: string }, socket: Socket): void {
    // Gone already: nobody is left to be told.
    if (error.code === 'ECONNRESET' || error.code === 'EPIPE') {
      socket.destroy();
      return;
    }
    const failure = failureOfParser(error, this.#options);
    writeOnSocket(socket, this.#responder.fail(this.#responder.open(UNREAD), failure), this.#clock);
  }

  /** What the adapter refuses before a route is asked. */
  #answerUnreadable(error: unknown): Response {
    const reason = error instanceof Error ? error.message : 'it cannot be read';
    const failure = new Failure('REQUEST_MALFORMED', `the request target or host cannot be used: ${reason}`);
    return toResponse(this.#responder.fail(this.#responder.open(UNREAD), failure));
  }
}
