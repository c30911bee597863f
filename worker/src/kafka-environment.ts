import type { SASLOptions } from 'kafkajs';
import type { KafkaSettings } from './kafka-settings.ts';

const MECHANISMS = ['plain', 'scram-sha-256', 'scram-sha-512'] as const;

/**
 * Reads `KAFKA_BROKERS`, `KAFKA_SSL`, `KAFKA_SASL_MECHANISM`, `KAFKA_SASL_USERNAME`, `KAFKA_SASL_PASSWORD` and
 * `KAFKA_NAMESPACE`, by the names and in the form that the gateway uses.
 * @throws Error that names the variable and what was expected
 */
export function readKafkaEnvironment(environment: Readonly<Record<string, string | undefined>> = process.env): {
  kafka: Pick<KafkaSettings, 'brokers' | 'ssl' | 'sasl'>;
  namespace: string | undefined;
} {
  const sasl = readSasl(environment);
  const ssl = readBoolean(environment, 'KAFKA_SSL');
  return {
    kafka: { brokers: readBrokers(environment['KAFKA_BROKERS']), ...(ssl && { ssl }), ...(sasl && { sasl }) },
    namespace: environment['KAFKA_NAMESPACE'] || undefined,
  };
}

function readBrokers(text: string | undefined): string[] {
  const brokers = (text ?? '')
    .split(',')
    .map((broker) => broker.trim())
    .filter((broker) => broker !== '');
  if (brokers.length === 0)
    throw new Error('KAFKA_BROKERS: expected host:port, several with commas between; it is not set');
  const bad = brokers.find((broker) => !/^.+:\d{1,5}$/.test(broker));
  if (bad !== undefined) throw new Error(`KAFKA_BROKERS: expected host:port, got ${JSON.stringify(bad)}`);
  return brokers;
}

function readBoolean(environment: Readonly<Record<string, string | undefined>>, name: string): boolean {
  const text = environment[name] || 'false';
  if (text !== 'true' && text !== 'false')
    throw new Error(`${name}: expected true or false, got ${JSON.stringify(text)}`);
  return text === 'true';
}

function readSasl(environment: Readonly<Record<string, string | undefined>>): SASLOptions | undefined {
  const name = environment['KAFKA_SASL_MECHANISM']?.toLowerCase();
  if (!name) return undefined;
  const mechanism = MECHANISMS.find((known) => known === name);
  if (mechanism === undefined) throw new Error(`KAFKA_SASL_MECHANISM: expected ${MECHANISMS.join(', ')}; got ${name}`);
  const username = environment['KAFKA_SASL_USERNAME'];
  const password = environment['KAFKA_SASL_PASSWORD'];
  if (!username) throw new Error('KAFKA_SASL_USERNAME: expected with KAFKA_SASL_MECHANISM');
  if (!password) throw new Error('KAFKA_SASL_PASSWORD: expected with KAFKA_SASL_MECHANISM');
  return { mechanism, username, password };
}
