/** The routes on Hono: ours by path, all commands through one catch-all. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpBindings } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import type { ActionRoutes } from './action-routes.ts';
import type { CommandRoutes } from './command-routes.ts';
import { refuseMethod } from './command-routes.ts';
import { answerJson, type Exchange, type RestAnswer } from './exchange.ts';
import type { HistoryRoutes } from './history-routes.ts';
import { FetchIncoming, type Incoming, NodeIncoming } from './incoming.ts';
import type { OperationRoutes } from './operations-routes.ts';
import type { Responder } from './responder.ts';

/** `env` is absent on a call without a socket. */
export type RestEnv = { Bindings: HttpBindings };
export type RestApp = Hono<RestEnv>;

export interface AppOptions {
  readonly basePath: string;
  readonly responder: Responder;
  readonly operations: OperationRoutes;
  readonly actions: ActionRoutes;
  readonly history: HistoryRoutes;
  readonly commands: CommandRoutes;
  /** The OpenAPI document as JSON. */
  readonly openapi: () => string;
}

type Route = (exchange: Exchange, context: Context<RestEnv>) => RestAnswer | Promise<RestAnswer>;

export function createApp(options: AppOptions): RestApp {
  const { basePath, responder, operations, actions, history, commands, openapi } = options;
  const serve = (route: Route) => async (context: Context<RestEnv>) => {
    const exchange = responder.open(incomingOf(context));
    return toResponse(await responder.run(exchange, () => route(exchange, context)));
  };
  // The raw path, not the one that a URL parser has tidied up: every route sees what was sent.
  const app = new Hono<RestEnv>({
    getPath: (request, { env } = {}) => rawPathOf(request, env as HttpBindings | undefined),
  });
  const list = serve((exchange) => operations.serveList(exchange));
  const one = serve((exchange, context) => {
    const [id = '', verb] = idOf(context).split(':', 2);
    return verb === undefined ? operations.serveOne(exchange, id) : actions.serve(exchange, id, verb);
  });
  const result = serve((exchange, context) => operations.serveResult(exchange, idOf(context)));
  app.all(`${basePath}/operations`, list);
  app.all(`${basePath}/operations/:id`, one);
  app.all(`${basePath}/operations/:id/result`, result);
  app.all(
    `${basePath}/operations/:id/events`,
    serve((exchange, context) => history.serve(exchange, idOf(context))),
  );
  app.all(
    `${basePath}/openapi.json`,
    serve((exchange) => serveOpenApi(exchange, openapi)),
  );
  app.all(
    '*',
    serve((exchange) => commands.serve(exchange)),
  );
  return app;
}

/** A plain record of headers and a text, bytes or a stream: what the adapter writes without making a web response of it. */
export function toResponse({ status, headers, body }: RestAnswer): Response {
  return new Response(body as string | null, { status, headers });
}

function incomingOf(context: Context<RestEnv>): Incoming {
  const env = context.env as Partial<HttpBindings> | undefined;
  const request = context.req.raw;
  if (env?.incoming === undefined || env.outgoing === undefined) return new FetchIncoming(request);
  // HTTP/1 only: the server makes no other requests.
  return new NodeIncoming(env.incoming as IncomingMessage, env.outgoing as ServerResponse, request);
}

function rawPathOf(request: Request, env: Partial<HttpBindings> | undefined): string {
  const target = env?.incoming?.url;
  if (target === undefined) return new URL(request.url).pathname;
  const question = target.indexOf('?');
  return question < 0 ? target : target.slice(0, question);
}

function idOf(context: Context<RestEnv>): string {
  return context.req.param('id') ?? '';
}

function serveOpenApi(exchange: Exchange, openapi: () => string): RestAnswer {
  exchange.route = '/openapi.json';
  const { method } = exchange.incoming;
  if (method !== 'GET' && method !== 'HEAD') return refuseMethod(method, ['GET']);
  return answerJson(200, { 'cache-control': 'no-cache' }, openapi());
}
