// One target, once: fresh topics, a fresh echo worker and a fresh gateway; warm-up; the measured calls; then one
// caller alone. The gateway's CPU is what the system says its process took between the first and the last call.
import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Kafka, logLevel } from 'kafkajs';
import type { KafkaBroker } from '../test/support/kafka-broker.ts';
import type { PostgresServer } from '../test/support/postgres-server.ts';
import { type SupervisedProcess, startSupervised } from '../test/support/supervised-process.ts';
import { findFreePorts, waitUntil } from '../test/support/wait.ts';
import type { LoadOrder, LoadReport } from './load.ts';
import type { Target, TargetPlace } from './targets.ts';

export interface LoadPlan {
  calls: number;
  warmUpCalls: number;
  inFlight: number;
}

export interface Surroundings {
  broker: KafkaBroker;
  postgres: PostgresServer | undefined;
  round: number;
  load: LoadPlan;
}

export interface Measurement extends LoadReport {
  target: string;
  round: number;
  /** User and system time of the gateway process a call, microseconds. */
  cpuMicros: number;
  /** Median of one caller alone. */
  aloneP50Ms: number;
  rssMib: number;
}

const aloneCalls = 500;
const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export async function measureTarget(target: Target, around: Surroundings): Promise<Measurement> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  const running: SupervisedProcess[] = [];
  let load: ChildProcess | undefined;
  try {
    const place = await findPlace(target, around);
    await createTopics(place.brokers, target.topics(place.namespace));
    running.push(await startEchoWorker(target, place, folder));
    const gateway = await startGateway(target, place, folder);
    running.push(gateway);
    load = fork(path('load.ts'), [target.kind, String(target.kind === 'rest' ? place.httpPort : place.grpcPort)]);
    const numbers = await measureGateway(gateway, load, around.load);
    return { target: target.name, round: around.round, ...numbers };
  } finally {
    load?.kill('SIGKILL');
    for (const child of running.reverse()) await child.end();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function measureGateway(gateway: SupervisedProcess, load: ChildProcess, plan: LoadPlan) {
  await runLoad(load, { calls: plan.warmUpCalls, inFlight: plan.inFlight });
  const before = await readCpuMicros(gateway.pid);
  const report = await runLoad(load, { calls: plan.calls, inFlight: plan.inFlight });
  const cpuMicros = ((await readCpuMicros(gateway.pid)) - before) / plan.calls;
  const rssMib = readRssMib(gateway.pid);
  const alone = await runLoad(load, { calls: aloneCalls, inFlight: 1 });
  return { ...report, cpuMicros, rssMib, aloneP50Ms: alone.p50Ms };
}

async function findPlace(target: Target, { broker, postgres, round }: Surroundings): Promise<TargetPlace> {
  const [httpPort, grpcPort, managementPort] = await findFreePorts(3);
  const namespace = `bench-${target.name}-${round}`;
  const databaseUrl = target.needsDatabase ? await postgres!.createDatabase(namespace) : '';
  return {
    brokers: broker.brokers.join(','),
    databaseUrl,
    namespace,
    httpPort: httpPort!,
    grpcPort: grpcPort!,
    managementPort: managementPort!,
  };
}

async function createTopics(brokers: string, topics: Record<string, number>): Promise<void> {
  const admin = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.ERROR }).admin();
  await admin.connect();
  try {
    const wanted = Object.entries(topics).map(([topic, numPartitions]) => ({ topic, numPartitions }));
    await admin.createTopics({ topics: wanted, waitForLeaders: true });
  } finally {
    await admin.disconnect();
  }
}

async function startEchoWorker(target: Target, place: TargetPlace, folder: string): Promise<SupervisedProcess> {
  const logFile = join(folder, 'echo-worker.log');
  const env = { COMMAND_TOPICS: target.commandTopic(place.namespace), KAFKA_BROKERS: place.brokers };
  const worker = await startNode([path('echo-worker.ts')], env, logFile);
  await waitUntil({ what: 'echo worker', timeoutMs: 30_000, check: () => assertAlive('echo worker', worker) }, () =>
    readFileSync(logFile, 'utf8').includes('ready'),
  );
  return worker;
}

async function startGateway(target: Target, place: TargetPlace, folder: string): Promise<SupervisedProcess> {
  // For a profiler: `BENCH_NODE_ARGS='--import=/tmp/profile.mjs' npm run bench`.
  const nodeArgs = (process.env['BENCH_NODE_ARGS'] ?? '').split(' ').filter((arg) => arg !== '');
  const gateway = await startNode([...nodeArgs, ...target.args], target.env(place), join(folder, 'gateway.log'));
  const check = () => assertAlive(target.name, gateway);
  const url = target.readyUrl?.(place);
  const port = target.kind === 'rest' ? place.httpPort : place.grpcPort;
  try {
    await waitUntil({ what: `${target.name} ready`, timeoutMs: 60_000, check }, async () =>
      url === undefined ? tryPort(port) : (await fetch(url)).ok,
    );
  } catch (error) {
    const tail = gateway.readLogTail();
    await gateway.end();
    throw new Error(`${target.name} did not start:\n${tail}`, { cause: error });
  }
  return gateway;
}

function startNode(args: string[], env: Record<string, string>, logFile: string): Promise<SupervisedProcess> {
  const environment = { PATH: process.env['PATH'], HOME: process.env['HOME'], NODE_ENV: 'production', ...env };
  return startSupervised({ command: [process.execPath, ...args], logFile, env: environment });
}

function assertAlive(name: string, child: SupervisedProcess): void {
  if (!child.isAlive()) throw new Error(`${name} ended:\n${child.readLogTail()}`);
}

async function tryPort(port: number): Promise<true> {
  const socket = connect({ host: '127.0.0.1', port });
  try {
    await once(socket, 'connect');
    return true;
  } finally {
    socket.destroy();
  }
}

async function runLoad(load: ChildProcess, order: LoadOrder): Promise<LoadReport> {
  const over = new AbortController();
  const failed = once(load, 'exit', over).then(() => {
    throw new Error('the load process ended before it reported');
  });
  load.send(order);
  try {
    const [report] = await Promise.race([once(load, 'message', over), failed]);
    return report as LoadReport;
  } finally {
    failed.catch(() => undefined);
    over.abort();
  }
}

/** User and system time so far of a process with all its threads. */
async function readCpuMicros(pid: number): Promise<number> {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return readCpuMicrosByPs(pid);
  const fields = (await readFile(file, 'utf8')).split(') ')[1]!.split(' ');
  // Fields 14 and 15 of proc(5), in ticks of 10 ms on every Linux that Node runs on.
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

async function readCpuMicrosByPs(pid: number): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'time=', '-p', String(pid)]);
  const seconds = stdout
    .trim()
    .split(':')
    .reduce((sum, part) => sum * 60 + Number(part), 0);
  return seconds * 1_000_000;
}

function readRssMib(pid: number): number {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) return Number.NaN;
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(file, 'utf8'))?.[1]) / 1024;
}
