// toxiproxy between gateways and a server: built once from its Go module into the cache folder, where there is Go.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startSupervised } from '../../support/supervised-process.ts';
import { findFreePorts, waitUntil } from '../../support/wait.ts';

const run = promisify(execFile);
const MODULE = 'github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0';
const BUILD_TIMEOUT_MS = 300_000;
const START_TIMEOUT_MS = 20_000;

export interface Toxic {
  readonly type: 'latency' | 'timeout' | 'limit_data' | 'reset_peer';
  readonly stream: 'upstream' | 'downstream';
  readonly attributes: Readonly<Record<string, number>>;
}

export interface ProxyServer {
  /** `127.0.0.1:…` */
  readonly address: string;
  /** Until `heal`. */
  poison(toxic: Toxic): Promise<void>;
  heal(): Promise<void>;
  /** Closes every connection and takes no new one until `open`. */
  cut(): Promise<void>;
  open(): Promise<void>;
  stop(): Promise<void>;
}

function cacheFolder(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'sluice', 'toxiproxy');
}

/** Builds it where it is not built yet. Throws with Go's words where it cannot. */
export async function resolveToxiproxy(): Promise<string> {
  const folder = cacheFolder();
  const file = join(folder, 'server');
  if (existsSync(file)) return file;
  await mkdir(folder, { recursive: true });
  await run('go', ['install', MODULE], { env: { ...process.env, GOBIN: folder }, timeout: BUILD_TIMEOUT_MS });
  return file;
}

export async function findMissingToxiproxy(): Promise<string | null> {
  try {
    await resolveToxiproxy();
    return null;
  } catch (error) {
    return `toxiproxy cannot be built with Go: ${(error as Error).message.split('\n')[0]}`;
  }
}

/** @param upstream `host:port` */
export async function startProxy(upstream: string): Promise<ProxyServer> {
  const file = await resolveToxiproxy();
  const folder = await mkdtemp(join(tmpdir(), 'sluice-toxiproxy-'));
  const [apiPort, port] = await findFreePorts(2);
  const child = await startSupervised({
    command: [file, '-host', '127.0.0.1', '-port', String(apiPort)],
    logFile: join(folder, 'toxiproxy.log'),
    folder,
  });
  const call = async (method: string, path: string, body?: object) => {
    const response = await fetch(`http://127.0.0.1:${apiPort}${path}`, {
      method,
      headers: { connection: 'close' },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`toxiproxy: ${method} ${path}: ${response.status} ${text}`);
    return text;
  };
  const stop = async () => {
    await child.end();
    await rm(folder, { recursive: true, force: true });
  };
  const address = `127.0.0.1:${port}`;
  const describe = (enabled: boolean) => ({ name: 'server', listen: address, upstream, enabled });
  try {
    await waitUntil({ what: 'toxiproxy', timeoutMs: START_TIMEOUT_MS }, () => call('GET', '/version'));
    await call('POST', '/proxies', describe(true));
  } catch (error) {
    await stop();
    throw error;
  }
  const names: string[] = [];
  return {
    address,
    stop,
    poison: async ({ type, stream, attributes }) => {
      const name = `${type}-${stream}-${names.length}`;
      await call('POST', '/proxies/server/toxics', { name, type, stream, attributes });
      names.push(name);
    },
    heal: async () => {
      for (const name of names.splice(0)) await call('DELETE', `/proxies/server/toxics/${name}`);
    },
    cut: async () => void (await call('POST', '/proxies/server', describe(false))),
    open: async () => void (await call('POST', '/proxies/server', describe(true))),
  };
}
