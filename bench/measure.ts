// One target, once: fresh topics, a fresh echo worker and a fresh gateway; warm-up; the measured calls; then one
// caller alone. The gateway's CPU is what the system says its process took between the first and the last call. Of a
// target that records, a call is over when its operation is settled in the database, and so is the time of all calls.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Kafka, logLevel } from 'kafkajs';
import type { KafkaBroker } from '../test/support/kafka-broker.ts';
import { type PostgresServer, query } from '../test/support/postgres-server.ts';
import { type SupervisedProcess, startSupervised } from '../test/support/supervised-process.ts';
import { findFreePorts, waitUntil } from '../test/support/wait.ts';
import type { LoadOrder, LoadReport } from './load.ts';
import { readCpuMicros, readFamilyCpuMicros, readRssMib } from './process-use.ts';
import { SettledCount } from './settled.ts';
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
  /** The same of the database server; only where every call writes to it. */
  postgresMicros?: number;
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
  let settled: SettledCount | undefined;
  try {
    const place = await findPlace(target, around);
    await createTopics(place.brokers, target.topics(place.namespace));
    running.push(await startEchoWorker(target, place, folder));
    const gateway = await startGateway(target, place, folder);
    running.push(gateway);
    load = fork(path('load.ts'), [target.kind, String(target.kind === 'grpc' ? place.grpcPort : place.httpPort)]);
    if (target.countSettled) settled = await SettledCount.open(place.databaseUrl, target.countSettled);
    const numbers = await measureGateway(gateway, { load, settled, postgres: around.postgres }, around.load);
    return { target: target.name, round: around.round, ...numbers };
  } finally {
    load?.kill('SIGKILL');
    await settled?.close();
    for (const child of running.reverse()) await child.end();
    // What the server still does about these rows would be done in the time of the next target.
    if (target.needsDatabase) await dropDatabase(target, around);
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Where calls come from, and where it shows that they are settled. */
interface Run {
  load: ChildProcess;
  settled: SettledCount | undefined;
  postgres: PostgresServer | undefined;
}

async function measureGateway(gateway: SupervisedProcess, run: Run, plan: LoadPlan) {
  await runCalls(run, { calls: plan.warmUpCalls, inFlight: plan.inFlight });
  const before = await readUse(gateway, run);
  const report = await runCalls(run, { calls: plan.calls, inFlight: plan.inFlight });
  const after = await readUse(gateway, run);
  const cpuMicros = (after.cpuMicros - before.cpuMicros) / plan.calls;
  const postgresMicros = (after.postgresMicros - before.postgresMicros) / plan.calls;
  const rssMib = readRssMib(gateway.pid);
  const alone = await runLoad(run.load, { calls: aloneCalls, inFlight: 1 });
  return { ...report, cpuMicros, ...(run.settled && { postgresMicros }), rssMib, aloneP50Ms: alone.p50Ms };
}

async function readUse(gateway: SupervisedProcess, { settled, postgres }: Run) {
  const postgresMicros = settled && postgres ? await readFamilyCpuMicros(postgres.pid()) : Number.NaN;
  return { cpuMicros: await readCpuMicros(gateway.pid), postgresMicros };
}

async function runCalls({ load, settled }: Run, order: LoadOrder): Promise<LoadReport> {
  const start = performance.now();
  const report = await runLoad(load, order);
  if (!settled) return report;
  await settled.reachMore(order.calls);
  const seconds = (performance.now() - start) / 1000;
  return { ...report, seconds, callsPerSecond: order.calls / seconds };
}

async function findPlace(target: Target, { broker, postgres, round }: Surroundings): Promise<TargetPlace> {
  const [httpPort, grpcPort, managementPort] = await findFreePorts(3);
  const namespace = nameOf(target, round);
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

const nameOf = (target: Target, round: number) => `bench-${target.name}-${round}`;

async function dropDatabase(target: Target, { postgres, round }: Surroundings): Promise<void> {
  await query(postgres!.url, `drop database if exists "${nameOf(target, round)}" with (force)`);
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
  const port = target.kind === 'grpc' ? place.grpcPort : place.httpPort;
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
