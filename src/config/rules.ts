/** Rules between settings. */
import { isIP } from 'node:net';
import { isLoopback } from '../runtime/loopback.ts';
import type { ConfigValues } from './schema.ts';

export interface BrokenRule {
  /** Keys of the settings concerned; the first is the one to change. */
  readonly keys: readonly string[];
  readonly message: string;
}

/** What the values break together; empty where nothing. */
export function findBrokenRules(values: ConfigValues): BrokenRule[] {
  return [
    ...checkBinding(values),
    ...checkPorts(values),
    ...checkProxies(values),
    ...checkBrokers(values),
    ...checkKafkaAccess(values),
    ...checkLeases(values),
    ...checkIdleTransactions(values),
    ...checkContract(values),
  ];
}

function checkBinding({ auth, http, grpc }: ConfigValues): BrokenRule[] {
  if (auth === 'none') return [];
  const wide = [
    { key: 'http.host', host: http.host },
    { key: 'grpc.host', host: grpc.host },
  ].filter(({ host }) => !isLoopback(host));
  return wide.map(({ key, host }) => ({
    keys: [key, 'auth'],
    message: `found "${host}" without auth, expected a loopback address, or \`auth: none\` (SLUICE_AUTH=none) to let everybody in`,
  }));
}

function checkPorts({ http, grpc, management }: ConfigValues): BrokenRule[] {
  const ports = [
    { key: 'http.port', port: http.port },
    { key: 'grpc.port', port: grpc.port },
    { key: 'management.port', port: management.port },
  ];
  return ports.flatMap(({ key, port }, index) => {
    const other = ports.slice(0, index).find((each) => each.port === port && port !== 0);
    return other
      ? [{ keys: [key, other.key], message: `found ${port}, which ${other.key} has too, expected a port of its own` }]
      : [];
  });
}

function checkProxies({ http }: ConfigValues): BrokenRule[] {
  const wrong = http.trustedProxies.filter((range) => !isAddressRange(range));
  return wrong.map((range) => ({
    keys: ['http.trusted_proxies'],
    message: `found "${range}", expected an address or a CIDR range, such as 10.0.0.0/8`,
  }));
}

function isAddressRange(range: string): boolean {
  const [address, bits] = range.split('/') as [string, string | undefined];
  const family = isIP(address);
  return family !== 0 && (bits === undefined || Number(bits) <= (family === 4 ? 32 : 128));
}

function checkBrokers({ kafka }: ConfigValues): BrokenRule[] {
  const wrong = kafka.brokers.filter((broker) => Number(broker.split(':').at(-1)) > 65_535);
  return wrong.map((broker) => ({
    keys: ['kafka.brokers'],
    message: `found "${broker}", expected a port up to 65535`,
  }));
}

function checkKafkaAccess({ kafka: { sasl, ssl } }: ConfigValues): BrokenRule[] {
  const broken: BrokenRule[] = [];
  for (const name of ['username', 'password'] as const) {
    if (sasl.mechanism !== null && sasl[name] === null) {
      broken.push({
        keys: [`kafka.sasl.${name}`, 'kafka.sasl.mechanism'],
        message: `found none, expected one, as ${sasl.mechanism} needs it`,
      });
    }
    if (sasl.mechanism === null && sasl[name] !== null) {
      broken.push({
        keys: ['kafka.sasl.mechanism', `kafka.sasl.${name}`],
        message: `found none beside a ${name}, expected plain, scram-sha-256 or scram-sha-512`,
      });
    }
  }
  if ((ssl.certFile === null) !== (ssl.keyFile === null)) {
    const missing = ssl.certFile === null ? 'cert_file' : 'key_file';
    broken.push({
      keys: [`kafka.ssl.${missing}`, 'kafka.ssl.cert_file', 'kafka.ssl.key_file'],
      message: 'found none, expected certificate and key together',
    });
  }
  if (!ssl.enabled && (ssl.caFile ?? ssl.certFile ?? ssl.keyFile) !== null) {
    broken.push({ keys: ['kafka.ssl.enabled'], message: 'found false beside files for TLS, expected true' });
  }
  return broken;
}

function checkLeases({ leases }: ConfigValues): BrokenRule[] {
  if (leases.heartbeatMs * 3 <= leases.leaseMs) return [];
  const message = `found ${leases.heartbeatMs} ms, expected at most a third of leases.lease (${leases.leaseMs} ms)`;
  return [{ keys: ['leases.heartbeat', 'leases.lease'], message }];
}

/** Who takes over what an instance had leased would wait for the locks of the one that stopped. */
function checkIdleTransactions({ store, leases }: ConfigValues): BrokenRule[] {
  const { idleInTransactionTimeoutMs: idleMs } = store;
  if (idleMs < leases.leaseMs) return [];
  const message = `found ${idleMs} ms, expected less than leases.lease (${leases.leaseMs} ms)`;
  return [{ keys: ['store.idle_in_transaction_timeout', 'leases.lease'], message }];
}

function checkContract({ contract }: ConfigValues): BrokenRule[] {
  if (contract.sources.length > 0) return [];
  const message = 'found none, expected one or more folders of .proto files or compiled descriptor sets';
  return [{ keys: ['contract.sources'], message }];
}
