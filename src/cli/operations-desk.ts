/**
 * Whom `sluice operations` asks: the gateway where one runs, else the store. Both answer the same documents, for without a
 * gateway the routes of its management port run in this process.
 */
import { existsSync } from 'node:fs';
import type { OpenAdministration, openAdministration } from '../administration.ts';
import type { Config } from '../config.ts';
import { type ManagementRequest, OperationsDesk } from '../edge/management-operations.ts';
import { systemClock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Tools } from '../stack.ts';
import { urlOf } from './address.ts';
import { askManagement, NobodyListens } from './management-client.ts';
import type { OperationsCall } from './operations-arguments.ts';
import { showText } from './table.ts';

export type Document = Readonly<Record<string, unknown>>;

export interface Desk {
  /** The document of a 200. @throws Error with what went wrong, for people. */
  ask(method: 'GET' | 'POST', target: string): Promise<Document>;
  /** Whether who is asked publishes commands by itself; else a gateway that runs later does. */
  readonly sendsAtOnce: boolean;
  close(): Promise<void>;
}

type Open = typeof openAdministration;

const ASK_TIMEOUT_MS = 60_000;
const PROBE_TIMEOUT_MS = 5000;

/** @throws UsageProblems where the config is needed and wrong; Error where nobody can be asked, such as a folder in use. */
export async function openDesk(call: OperationsCall, open: Open = openByConfig): Promise<Desk> {
  if (call.management)
    return (await findGateway(call.management)) ?? refuse(`nobody listens at ${call.management.origin}`);
  const { readOwnSettings } = await import('./own-settings.ts');
  const config = readOwnSettings();
  const gateway = call.direct ? null : await findOwnGateway(config);
  if (gateway) return gateway;
  const desk = openStoreDesk(await openStore(config, open));
  return config.store.databaseUrl === null ? withoutRedrive(desk) : desk;
}

/** Null, and said, where none runs. Nobody can tell where one listens that takes any free port. */
async function findOwnGateway({ management: { host, port }, store }: Config): Promise<Desk | null> {
  const gateway = port === 0 ? null : await findGateway(new URL(urlOf(host, port)));
  if (gateway) return gateway;
  const reason = port === 0 ? 'management.port is 0' : `No gateway listens at ${urlOf(host, port)}`;
  const asked = store.databaseUrl === null ? `PGlite in ${store.dataDir}` : 'PostgreSQL';
  process.stderr.write(`${reason}: asking the store, ${asked}.\n`);
  return null;
}

/** @throws Error for people: a mistaken folder is not made anew, and one in use belongs to a gateway that can be asked. */
async function openStore(config: Config, open: Open): Promise<OpenAdministration> {
  const { databaseUrl, dataDir } = config.store;
  if (databaseUrl === null && !existsSync(dataDir))
    refuse(`there is no store: no DATABASE_URL, and no folder ${dataDir}`);
  try {
    return await open(config, await makeTools());
  } catch (error) {
    if (!(error instanceof Error && error.name === 'FolderLockedError')) throw error;
    throw new Error(`${error.message}; if it is a gateway, ask it: --management <its URL>`, { cause: error });
  }
}

/**
 * On the embedded store only this process could publish, and it does not. What is done is refused as everywhere, so the
 * operation is looked at first: of such a one the next start does nothing.
 */
function withoutRedrive(desk: Desk): Desk {
  return {
    ...desk,
    async ask(method, target) {
      const [, path] = /^(.*):redrive$/.exec(target) ?? [];
      if (path === undefined || (await desk.ask('GET', path))['done']) return desk.ask(method, target);
      return refuse(
        'no gateway runs that would send the command again; its next start sends what was not sent, or may run twice (idempotent), by itself, and ends the rest as failed',
      );
    },
  };
}

function refuse(message: string): never {
  throw new Error(message);
}

/** Null where nobody listens. @throws Error where somebody does who is no gateway. */
async function findGateway(base: URL): Promise<Desk | null> {
  try {
    const { text } = await askManagement(base, { method: 'GET', target: '/health/live', timeoutMs: PROBE_TIMEOUT_MS });
    if (readDocument(text)?.['status'] === 'live') return gatewayDesk(base);
  } catch (error) {
    if (error instanceof NobodyListens) return null;
    throw error;
  }
  return refuse(`what listens at ${base.origin} is not the management port of a gateway`);
}

function gatewayDesk(base: URL): Desk {
  return {
    async ask(method, target) {
      const isRebuild = method === 'POST' && target.startsWith('/operations:rebuild');
      const timeoutMs = isRebuild ? null : ASK_TIMEOUT_MS;
      const { status, text } = await askManagement(base, { method, target, timeoutMs });
      return readAnswer(status, text);
    },
    sendsAtOnce: true,
    close: async () => undefined,
  };
}

function openStoreDesk(opened: OpenAdministration): Desk {
  const desk = new OperationsDesk(opened.administration);
  const { signal } = new AbortController();
  return {
    async ask(method, target) {
      const request: ManagementRequest = { method, target, signal };
      const { status, text } = await desk.answer(request);
      return readAnswer(status, text);
    },
    sendsAtOnce: false,
    close: () => opened.close(),
  };
}

function readAnswer(status: number, text: string): Document {
  const document = readDocument(text);
  if (document === null) return refuse(`found an answer with status ${status} that is not JSON`);
  if (status === 200) return document;
  const { detail, code } = document;
  return refuse(showText(`${typeof detail === 'string' ? detail : 'refused'} (${code ?? status})`));
}

function readDocument(text: string): Document | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Document) : null;
  } catch {
    return null;
  }
}

/** Loaded only where it is needed: a question to a gateway needs no config and no database driver. */
async function openByConfig(config: Config, tools: Tools): Promise<OpenAdministration> {
  const administration = await import('../administration.ts');
  return administration.openAdministration(config, tools);
}

async function makeTools(): Promise<Tools> {
  const { createMetrics } = await import('../runtime/metrics.ts');
  return { clock: systemClock, metrics: createMetrics(), logger: terminalLogger };
}

/** Standard output is for the answer. */
const terminalLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields, message) => tell('warning', fields, message),
  error: (fields, message) => tell('error', fields, message),
  child: () => terminalLogger,
};

function tell(level: string, fields: object, message: string): void {
  const { err } = fields as { err?: { message?: unknown } };
  const reason = typeof err?.message === 'string' ? `: ${err.message}` : '';
  process.stderr.write(`${level}: ${showText(message + reason)}\n`);
}
