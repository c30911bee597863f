// A worker of the fault runs as a process that can be killed.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type SupervisedProcess, startSupervised } from '../../support/supervised-process.ts';

const MAIN = fileURLToPath(new URL('worker-main.ts', import.meta.url));

export interface WorkerSettings {
  readonly name: string;
  /** Where its journal is. */
  readonly folder: string;
  readonly brokers: readonly string[];
  readonly namespace: string;
  readonly group: string;
  readonly methods: readonly { readonly method: string; readonly topic?: string }[];
  readonly concurrency: number;
  readonly topicPartitions: number;
  readonly sessionTimeoutMs: number;
  /** Where marks and effects are kept in one transaction; null: marks in memory, effects in the journal. */
  readonly databaseUrl: string | null;
}

export class WorkerProcess {
  readonly settings: WorkerSettings;
  #child: SupervisedProcess | null = null;

  constructor(settings: WorkerSettings) {
    this.settings = settings;
  }

  get name(): string {
    return this.settings.name;
  }

  get isAlive(): boolean {
    return this.#child?.isAlive() ?? false;
  }

  async start(): Promise<void> {
    const { folder, name } = this.settings;
    this.#child = await startSupervised({
      command: [process.execPath, MAIN],
      logFile: join(folder, `${name}.log`),
      env: { ...process.env, FAULTS_WORKER: JSON.stringify(this.settings), NODE_OPTIONS: '' },
    });
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

  readLogTail(): string {
    return this.#child?.readLogTail() ?? '';
  }
}
