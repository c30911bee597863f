/**
 * Every setting: its default, its bounds, its meaning. The names are those of the `Config`; in the file they are written
 * in snake_case and without the `Ms` of durations (`leaseMs` is `lease: 8s`), in the environment as the key in capitals
 * (`http.max_body_bytes` is HTTP_MAX_BODY_BYTES) unless a setting names its own variable. docs/configuration.md is made
 * from this file. Over 300 lines, because it is one list.
 */
import { z } from 'zod';
import { bytes, choice, duration, integer, list, path, paths, raw, type TextRule, text, toggle } from './setting.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

const hostRule: TextRule = { pattern: /^[A-Za-z0-9.:_-]{1,253}$/, expects: 'an address or a host name' };
const brokerRule: TextRule = {
  pattern: /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$/,
  expects: 'addresses of brokers as host:port',
};
const proxyRule: TextRule = {
  pattern: /^[0-9A-Fa-f:.]{2,45}(?:\/[0-9]{1,3})?$/,
  expects: 'addresses or CIDR ranges, such as 10.0.0.0/8',
};
const topicRule: TextRule = {
  pattern: /^[A-Za-z0-9._-]{1,200}$/,
  expects: 'a topic name of letters, digits, dot, dash and underscore',
};
const namespaceRule: TextRule = {
  pattern: /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/,
  expects: 'at most 64 letters, digits, dots, dashes and underscores',
};
const baseUrlRule: TextRule = {
  pattern: /^https?:\/\/[^\s/?#@]+(?:\/[^\s?#]*)?$/,
  expects: 'an http or https URL without user, query and fragment',
};
const basePathRule: TextRule = {
  pattern: /^(?:|(?:\/[A-Za-z0-9._~-]+)+)$/,
  expects: 'a path such as /api, with a slash before and none behind',
};
const databaseRule: TextRule = {
  pattern: /^postgres(?:ql)?:\/\/\S+$/,
  expects: 'a URL such as postgres://user:password@host:5432/name',
};
const anyRule: TextRule = { pattern: /^[^\0]*$/, expects: 'text' };

const port = (byDefault: number, doc: string) => integer(byDefault, [0, 65_535], doc);

/** Filled in by its own defaults where the file says nothing of it. */
const group = <Shape extends z.ZodRawShape>(shape: Shape) => z.object(shape).prefault({} as never);

export const configSchema = z.object({
  contract: group({
    sources: paths('Folders of `.proto` files and compiled descriptor sets (`.binpb`): what is served.', {
      env: 'SLUICE_CONTRACT',
    }),
    unboundMethods: toggle(false, 'Serve methods without an HTTP rule at `POST /{package.Service}/{Method}` too.', {
      env: 'SLUICE_UNBOUND_METHODS',
    }),
    policies: group({
      defaults: raw('a map of policy options', 'Policy options of every command that says nothing else.'),
      services: raw(
        'a map from service names to policy options',
        'Policy options by service, `orders.v1.Orders`; they win over the contract.',
      ),
      methods: raw(
        'a map from method names to policy options',
        'Policy options by method, `orders.v1.Orders/CreateOrder`; they win over all else.',
      ),
    }),
  }),
  auth: choice(['none'], null, 'Who may call. `none`: everybody; without it Sluice binds loopback addresses only.', {
    env: 'SLUICE_AUTH',
  }),
  http: group({
    host: text('127.0.0.1', hostRule, 'Address that REST callers reach.'),
    port: port(8080, 'Port for REST callers; 0: any free one.'),
    publicUrl: text(null, baseUrlRule, 'The base of all links and the source of all commands, as callers see it.', {
      env: 'PUBLIC_URL',
    }),
    basePath: text('', basePathRule, "Path before Sluice's own routes (`/operations`, `/openapi.json`).", {
      env: 'BASE_PATH',
    }),
    trustedProxies: list(proxyRule, 'Proxies whose `Forwarded` and `X-Forwarded-*` headers are believed.', {
      env: 'TRUSTED_PROXIES',
    }),
    maxBodyBytes: bytes(768 * KIB, [KIB, 64 * MIB], 'Longest request body.'),
    maxUrlBytes: bytes(8 * KIB, [256, 64 * KIB], 'Longest path and query.'),
    maxHeaderBytes: bytes(16 * KIB, [KIB, 256 * KIB], 'All request headers together.'),
    maxHeaderCount: integer(100, [8, 1000], 'Request header fields.'),
    maxJsonDepth: integer(64, [4, 1000], 'How deep JSON of a request may nest.'),
    maxConnections: integer(10_000, [1, 1_000_000], 'Open connections; more are closed at once.'),
    keepAliveTimeoutMs: duration('65s', ['1s', '10m'], 'How long an idle connection is kept.'),
    headersTimeoutMs: duration('10s', ['1s', '10m'], 'How long the head of a request may take to arrive.'),
    requestTimeoutMs: duration('30s', ['1s', '10m'], 'How long a whole request may take to arrive.'),
    maxLongPollMs: duration('60s', ['0s', '10m'], 'Longest wait of a caller on the status resource.'),
    pollAfterMs: duration('1s', ['1s', '1h'], 'The `Retry-After` of operations that are not done.'),
  }),
  grpc: group({
    host: text('127.0.0.1', hostRule, 'Address that gRPC callers reach.'),
    port: port(50_051, 'Port for gRPC callers; 0: any free one.'),
    maxMessageBytes: bytes(768 * KIB, [KIB, 64 * MIB], 'Longest request message.'),
    maxResultBytes: bytes(
      4 * MIB,
      [KIB, 64 * MIB],
      'Longest response message; clients take 4 MiB unless told otherwise.',
    ),
    maxMetadataBytes: bytes(16 * KIB, [KIB, 256 * KIB], 'All metadata of a request together.'),
    maxMetadataEntries: integer(100, [8, 1000], 'Metadata entries of a request.'),
    maxConnections: integer(10_000, [1, 1_000_000], 'Open connections; more are closed at once.'),
    maxConcurrentStreams: integer(1000, [1, 100_000], 'Open calls of one connection; more wait at the client.'),
    keepaliveTimeMs: duration('1m', ['1s', '2h'], 'How often a silent connection is asked for a sign of life.'),
    keepaliveTimeoutMs: duration('20s', ['1s', '10m'], 'How long that sign may take.'),
    maxConnectionIdleMs: duration('15m', ['1s', '24h'], 'How long a connection without a call is kept.'),
    maxConnectionAgeMs: duration(
      '30m',
      ['10s', '168h'],
      'How old a connection grows, so that callers spread over new instances.',
    ),
    maxConnectionAgeGraceMs: duration('10m', ['1s', '1h'], 'How long calls of such a connection may go on.'),
    maxOperationWaitMs: duration('5m', ['0s', '1h'], 'Longest wait of a caller in WaitOperation.'),
  }),
  management: group({
    host: text('127.0.0.1', hostRule, 'Address of health and metrics.'),
    port: port(8081, 'Port of health and metrics; 0: any free one.'),
    operations: choice(
      ['auto', 'true', 'false'],
      'auto',
      'Whether `sluice operations` is served there; `auto`: where the host is a loopback address.',
    ),
  }),
  kafka: group({
    brokers: list(brokerRule, 'Brokers to start from. None: the channel inside the process, for development.'),
    namespace: text('', namespaceRule, 'Put before all topic and group names, with a dot.'),
    clientId: text('sluice', topicRule, 'Name under which the brokers know this gateway.'),
    ssl: group({
      enabled: toggle(false, 'Speak TLS to the brokers.', { env: 'KAFKA_SSL' }),
      caFile: path(null, 'Certificate authorities (PEM); by default those of Node.'),
      certFile: path(null, 'Client certificate (PEM), with `key_file`.'),
      keyFile: path(null, 'Key of the client certificate (PEM).'),
    }),
    sasl: group({
      mechanism: choice(['plain', 'scram-sha-256', 'scram-sha-512'], null, 'How to authenticate at the brokers.'),
      username: text(null, anyRule, 'User name at the brokers.'),
      password: text(null, anyRule, 'Password at the brokers.', { secret: 'whole' }),
    }),
    topics: group({
      replies: text('sluice.replies', topicRule, 'Topic of the replies, before the namespace.'),
      deadLetters: text(
        'sluice.dead-letters',
        topicRule,
        'Topic of replies that cannot be read and of commands that nobody answered, before the namespace.',
      ),
      control: text(
        'sluice.control',
        topicRule,
        'Topic by which workers are told of cancellations, before the namespace.',
      ),
      events: text('sluice.events', topicRule, 'Topic of lifecycle events, before the namespace.'),
    }),
    createTopics: toggle(true, 'Create the topics that are missing at start.'),
    replyPartitions: integer(
      32,
      [1, 1024],
      'Partitions of the reply topic where it is created: at most as many instances.',
    ),
    commandTopicPartitions: integer(12, [1, 1024], 'Partitions of command topics that are created.'),
    replicationFactor: integer(-1, [-1, 9], 'Replicas of topics that are created; -1: as the brokers say.'),
    publish: group({
      maxPendingRecords: integer(20_000, [1, 1_000_000], 'Commands that wait for the broker, in records.'),
      maxPendingBytes: bytes(128 * MIB, [MIB, 4096 * MIB], 'The same, in bytes.'),
      batchRecords: integer(500, [1, 10_000], 'Records in one request.'),
      batchBytes: bytes(800_000, [16 * KIB, 16 * MIB], 'Bytes in one request.'),
      requestTimeoutMs: duration('10s', ['500ms', '5m'], 'How long a broker may take to answer.'),
      connectTimeoutMs: duration('5s', ['100ms', '1m'], 'How long a connection may take to open.'),
    }),
    fetchMaxWaitMs: duration('250ms', ['10ms', '5s'], 'How long a broker holds a fetch without replies.'),
    fetchMaxBytes: bytes(8 * MIB, [64 * KIB, 256 * MIB], 'Bytes of replies in one fetch.'),
    sessionTimeoutMs: duration('10s', ['6s', '5m'], 'Without a fetch for three times as long the consumer is rebuilt.'),
  }),
  store: group({
    databaseUrl: text(null, databaseRule, 'PostgreSQL server. None: PGlite inside the process, in `data_dir`.', {
      env: 'DATABASE_URL',
      secret: 'url',
    }),
    listenUrl: text(
      null,
      databaseRule,
      'PostgreSQL server for LISTEN, where `DATABASE_URL` is a pooler in transaction mode. None: `DATABASE_URL`.',
      { env: 'DATABASE_LISTEN_URL', secret: 'url' },
    ),
    allowAsyncCommit: toggle(
      false,
      'Start although the server answers before a commit is on disk (`synchronous_commit = off`): a crash of it may lose what was promised.',
      { env: 'DATABASE_ALLOW_ASYNC_COMMIT' },
    ),
    dataDir: path('.sluice', 'Folder of PGlite, locked to one process.', { env: 'DATA_DIR' }),
    poolSize: integer(8, [1, 200], 'Connections to the server.', { env: 'DATABASE_POOL_SIZE' }),
    maxWaitingQueries: integer(10_000, [10, 1_000_000], 'Statements that wait for a connection; more are refused.', {
      env: 'DATABASE_MAX_WAITING_QUERIES',
    }),
    knownOperations: integer(
      20_000,
      [0, 10_000_000],
      'Open operations whose rows are remembered as this instance wrote them; others are read before they are settled.',
    ),
    connectTimeoutMs: duration('5s', ['100ms', '1m'], 'How long a connection may take to open.', {
      env: 'DATABASE_CONNECT_TIMEOUT',
    }),
    queryTimeoutMs: duration(
      '10s',
      ['100ms', '5m'],
      'How long a statement may take; then its connection is destroyed.',
      {
        env: 'DATABASE_QUERY_TIMEOUT',
      },
    ),
    idleInTransactionTimeoutMs: duration(
      '4s',
      ['100ms', '5m'],
      'How long the server lets a transaction stand still before it ends it, so that a stopped process keeps no locks; shorter than `leases.lease`, by default at most half of it.',
      { env: 'DATABASE_IDLE_IN_TRANSACTION_TIMEOUT' },
    ),
  }),
  operations: group({
    maxOpenCalls: integer(10_000, [1, 1_000_000], 'Calls that wait for their reply, in all.'),
    maxOpenBytes: bytes(256 * MIB, [MIB, 16_384 * MIB], 'Bytes of their requests.'),
    maxWaiters: integer(10_000, [1, 1_000_000], 'Callers that wait on recorded operations.'),
    maxPendingAccepts: integer(5000, [1, 1_000_000], 'Operations that wait for their insert.'),
    maxPendingAcceptBytes: bytes(128 * MIB, [MIB, 4096 * MIB], 'The same, in bytes.'),
    maxUnpublished: integer(5000, [1, 1_000_000], 'Recorded commands that the broker does not have yet.'),
    maxUnpublishedBytes: bytes(128 * MIB, [MIB, 4096 * MIB], 'The same, in bytes.'),
    maxPromotedCalls: integer(
      100_000,
      [1, 10_000_000],
      'Promoted calls that are remembered until they are done; past it more replies are looked up in the store.',
    ),
    maxPendingSettlements: integer(
      10_000,
      [1, 1_000_000],
      'Replies of one partition that wait to be settled; past it they are read again later (in-process: the partition waits).',
    ),
    maxPendingSettlementBytes: bytes(128 * MIB, [MIB, 4096 * MIB], 'The same, in bytes.'),
    settleGatherMs: duration(
      '20ms',
      ['0ms', '1s'],
      'Where many replies come and nobody waits for one, how long they gather into one transaction.',
    ),
    maxResultBytes: bytes(4 * MIB, [KIB, 64 * MIB], 'Longest result of an operation.'),
    maxUnpublishedPerTopic: integer(
      2500,
      [1, 1_000_000],
      'Of these, for one topic: one that cannot be written to leaves room for the others.',
    ),
    maxPendingForwards: integer(
      1000,
      [1, 1_000_000],
      'Replies on their way to another partition or to the dead letters; past it they are read again later.',
    ),
    maxJoinedCalls: integer(10_000, [1, 1_000_000], 'Callers that wait for a call with the same Idempotency-Key.'),
    maxEventStreams: integer(1000, [1, 1_000_000], 'Open streams of operation histories.'),
    retentionMs: duration('24h', ['24h', '8760h'], 'How long a finished operation, and its Idempotency-Key, is kept.'),
    lifecycleEvents: toggle(false, 'Write every event of every operation to the topic `events` as a CloudEvent.'),
    adminAnonymous: choice(
      ['auto', 'true', 'false'],
      'auto',
      'Whether anonymous callers may send an operation again; `auto`: where only loopback is bound.',
    ),
    listAnonymous: choice(
      ['auto', 'true', 'false'],
      'auto',
      'Whether anonymous callers may list operations; `auto`: where only loopback is bound.',
    ),
  }),
  leases: group({
    leaseMs: duration('8s', ['2s', '5m'], 'How long an instance owns what it leased; so late a dead one is noticed.'),
    heartbeatMs: duration('2s', ['200ms', '1m'], 'How often leases are renewed; at most a third of `lease`.'),
  }),
  chores: group({
    intervalMs: duration('1s', ['100ms', '1m'], 'How often the holder of the chores looks for what is due.'),
    leaseMs: duration('8s', ['2s', '5m'], 'How long an instance holds the chores; so late a dead holder is replaced.'),
    batchSize: integer(500, [1, 5000], 'Operations that one step of a chore takes; on the embedded store 200 at most.'),
    purgeIntervalMs: duration(
      '30s',
      ['1s', '24h'],
      'How often finished operations past their retention are looked for.',
    ),
  }),
  log: group({
    level: choice(['debug', 'info', 'warn', 'error', 'silent'], 'info', 'The least that is written.'),
    format: choice(['auto', 'json', 'pretty'], 'auto', '`auto`: readable on a terminal, else JSON lines.'),
  }),
  drain: group({
    delayMs: duration('0s', ['0s', '5m'], 'After SIGTERM, how long calls are still taken while readiness is red.'),
    timeoutMs: duration('25s', ['0s', '10m'], 'How long open calls may then go on; the rest becomes 202 where it can.'),
  }),
});

/**
 * Keys of features that are to come, by the group that they will stand in. They are refused by name: a file that says
 * something is never half obeyed.
 */
export const reservedKeys: Readonly<Record<string, readonly string[]>> = Object.freeze({
  '': ['webhooks', 'admission', 'limits', 'breakers', 'streams', 'tracing', 'console', 'schema_registry'],
  http: ['tls', 'cors'],
  grpc: ['tls', 'web'],
  management: ['tls'],
});

export type ConfigValues = z.output<typeof configSchema>;
