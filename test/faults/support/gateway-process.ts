// A gateway of the fault runs as a process: started as users start it, killed, paused and told to stop from outside.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type SupervisedProcess, startSupervised } from '../../support/supervised-process.ts';
import { findFreePorts, waitUntil } from '../../support/wait.ts';

const SLUICE = fileURLToPath(new URL('../../../bin/sluice.js', import.meta.url));
const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 90_000;
const REBUILD_TIMEOUT_MS = 60_000;

/** A config file as an object: JSON is YAML. */
export interface ConfigFile {
  readonly [group: string]: unknown;
}

export interface GatewayPlan {
  readonly name: string;
  readonly folder: string;
  readonly config: ConfigFile;
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of `node`; by default `sluice start`. */
  readonly args?: readonly string[];
  /** Ready is enough, whatever it says of what it shares with others: behind a pooler it cannot be notified. */
  readonly mayBeDegraded?: boolean;
}

export interface GatewayPorts {
  readonly http: number;
  readonly grpc: number;
  readonly management: number;
}

interface ReadinessPage {
  readonly status: string;
  readonly reasons: readonly string[];
  readonly degraded: readonly string[];
}

/** Its ports stay the same over all its starts; config, environment and arguments may change between them. */
export class GatewayProcess {
  readonly name: string;
  readonly ports: GatewayPorts;
  config: ConfigFile;
  env: Readonly<Record<string, string>>;
  readonly #folder: string;
  readonly #args: readonly string[];
  readonly #mayBeDegraded: boolean;
  #child: SupervisedProcess | null = null;

  constructor(plan: GatewayPlan, ports: GatewayPorts) {
    this.name = plan.name;
    this.ports = ports;
    this.config = plan.config;
    this.env = plan.env ?? {};
    this.#folder = plan.folder;
    this.#mayBeDegraded = plan.mayBeDegraded ?? false;
    this.#args = plan.args ?? [SLUICE, 'start'];
  }

  static async plan(plan: GatewayPlan): Promise<GatewayProcess> {
    const [http, grpc, management] = await findFreePorts(3);
    return new GatewayProcess(plan, { http: http!, grpc: grpc!, management: management! });
  }

  get url(): string {
    return `http://127.0.0.1:${this.ports.http}`;
  }

  get isAlive(): boolean {
    return this.#child?.isAlive() ?? false;
  }

  /** Resolves when the process runs; see `waitUntilReady`. */
  async start(): Promise<void> {
    const file = join(this.#folder, `${this.name}.config.yaml`);
    const ports = { http: this.ports.http, grpc: this.ports.grpc, management: this.ports.management };
    const config: Record<string, unknown> = { ...this.config };
    for (const [group, port] of Object.entries(ports)) config[group] = { ...(config[group] as object), port };
    await writeFile(file, JSON.stringify(config, null, 2));
    this.#child = await startSupervised({
      command: [process.execPath, ...this.#args],
      logFile: join(this.#folder, `${this.name}.log`),
      env: { ...process.env, NODE_OPTIONS: '', SLUICE_CONFIG: file, ...this.env },
    });
  }

  /** Ready, and without anything shared that is down. */
  async waitUntilReady(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const check = () => {
      if (!this.isAlive) throw new Error(`${this.name} ended:\n${this.readLogTail()}`);
    };
    const timeoutMs = options.timeoutMs ?? READY_TIMEOUT_MS;
    await waitUntil({ what: `${this.name} ready`, timeoutMs, intervalMs: 50, check }, async () => {
      const page = await this.readiness();
      if (page.status === 'ready' || (page.status === 'degraded' && this.#mayBeDegraded)) return true;
      throw new Error(`${page.status}: ${[...page.reasons, ...page.degraded].join('; ')}`);
    });
  }

  async readiness(): Promise<ReadinessPage> {
    return (await this.#manage('/health/ready')).json() as Promise<ReadinessPage>;
  }

  /** The sum over all labels of one metric; 0 where it is not there. */
  async readMetric(name: string, labels = ''): Promise<number> {
    const lines = (await (await this.#manage('/metrics')).text()).split('\n');
    const ours = lines.filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    return ours.filter((line) => line.includes(labels)).reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  /** Differences between rows and what their events make of them, as `sluice operations rebuild` tells them. */
  async rebuild(): Promise<readonly object[]> {
    const response = await this.#manage('/operations:rebuild', 'POST', REBUILD_TIMEOUT_MS);
    const text = await response.text();
    if (!response.ok) throw new Error(`${this.name}: rebuild: ${response.status} ${text}`);
    return (JSON.parse(text) as { readonly differences: readonly object[] }).differences;
  }

  #manage(path: string, method = 'GET', timeoutMs = 2_000): Promise<Response> {
    const url = `http://127.0.0.1:${this.ports.management}${path}`;
    const headers = { connection: 'close', 'content-type': 'application/json' };
    return fetch(url, { method, signal: AbortSignal.timeout(timeoutMs), headers });
  }

  async kill(): Promise<void> {
    await this.#child?.end('SIGKILL');
  }

  pause(): void {
    this.#child?.signal('SIGSTOP');
  }

  resume(): void {
    this.#child?.signal('SIGCONT');
  }

  /** SIGTERM; resolves with the exit code when it is gone, and kills it where that takes too long (then null). */
  async terminate(): Promise<number | null> {
    const child = this.#child;
    if (child === null) return null;
    child.signal('SIGTERM');
    try {
      await waitUntil({ what: `${this.name} stopped`, timeoutMs: STOP_TIMEOUT_MS }, () => !child.isAlive());
      return child.exitCode();
    } catch {
      await this.kill();
      return null;
    }
  }

  readLogTail(): string {
    return this.#child?.readLogTail() ?? '(never started)';
  }
}
