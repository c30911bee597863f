// The gateways under test. A new one is a new row.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { LoadKind } from './load.ts';

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** What a target is started with; all free and fresh for each start. */
export interface TargetPlace {
  brokers: string;
  databaseUrl: string;
  namespace: string;
  httpPort: number;
  grpcPort: number;
  managementPort: number;
}

export interface Target {
  name: string;
  kind: LoadKind;
  /** Arguments of `node`. */
  args: string[];
  env: (place: TargetPlace) => Record<string, string>;
  /** Topics that the benchmark creates before the start, with their partitions. */
  topics: (namespace: string) => Record<string, number>;
  /** The topic that the echo worker serves; one of `topics`. */
  commandTopic: (namespace: string) => string;
  /** A URL that answers 200 once calls are served; without it the target is ready when its port accepts. */
  readyUrl?: (place: TargetPlace) => string;
  /** The targets whose CPU a call and calls a second this one's are compared with, the first one first. */
  judgedBy?: readonly string[];
  needsDatabase: boolean;
  /** Counts the operations that are settled: a call of this target counts when its operation is. */
  countSettled?: string;
  /** Why it cannot run here. */
  skip?: string;
}

const commandTopic = (namespace: string) => `${namespace}.bench.v1.Echo.Echo`;

function floor(name: string, kind: Target['kind'], file: string): Target {
  const replyTopic = (namespace: string) => `${namespace}.floor.replies`;
  return {
    name,
    kind,
    args: [path(file)],
    env: ({ brokers, databaseUrl, namespace, httpPort, grpcPort }) => ({
      KAFKA_BROKERS: brokers,
      DATABASE_URL: databaseUrl,
      COMMAND_TOPIC: commandTopic(namespace),
      REPLY_TOPIC: replyTopic(namespace),
      HTTP_PORT: String(httpPort),
      GRPC_PORT: String(grpcPort),
    }),
    topics: (namespace) => ({ [commandTopic(namespace)]: 1, [replyTopic(namespace)]: 1 }),
    commandTopic,
    needsDatabase: false,
  };
}

function sluice(name: string, kind: Target['kind'], ...judgedBy: string[]): Target {
  const main = path('../bin/sluice.js');
  return {
    name,
    kind,
    judgedBy,
    args: [main, 'start'],
    env: (place) => ({
      KAFKA_BROKERS: place.brokers,
      KAFKA_NAMESPACE: place.namespace,
      DATABASE_URL: place.databaseUrl,
      HTTP_PORT: String(place.httpPort),
      GRPC_PORT: String(place.grpcPort),
      MANAGEMENT_PORT: String(place.managementPort),
      SLUICE_CONTRACT: path('contract'),
    }),
    // Its own topics it creates itself.
    topics: (namespace) => ({ [commandTopic(namespace)]: 1 }),
    commandTopic,
    readyUrl: ({ managementPort }) => `http://127.0.0.1:${managementPort}/health/ready`,
    needsDatabase: true,
    ...(!existsSync(main) && { skip: 'bin/sluice.js does not exist' }),
  };
}

/** The floor with the headers of a command record of Sluice, which its worker does not need: the same rows in bytes, too. */
function withWholeRecord(target: Target): Target {
  return { ...target, env: (place) => ({ ...target.env(place), FLOOR_RECORD: 'whole' }) };
}

/** An operation that answers 202 and is settled in the database later. */
function recorded(target: Target, schema: string): Target {
  const countSettled = `select count(*)::int as settled from ${schema}.operation where state = 'succeeded'`;
  return { ...target, needsDatabase: true, countSettled };
}

export const targets: Target[] = [
  floor('floor-rest', 'rest', 'floor/rest.ts'),
  sluice('sluice-rest', 'rest', 'floor-rest'),
  floor('floor-grpc', 'grpc', 'floor/grpc.ts'),
  sluice('sluice-grpc', 'grpc', 'floor-grpc'),
  recorded(floor('floor-recorded', 'rest-recorded', 'floor/recorded.ts'), 'floor'),
  recorded(withWholeRecord(floor('floor-recorded-whole', 'rest-recorded', 'floor/recorded.ts')), 'floor'),
  recorded(sluice('sluice-recorded', 'rest-recorded', 'floor-recorded-whole', 'floor-recorded'), 'sluice'),
];
