import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { registerCodecs } from './kafka-codecs.ts';
import { calmRequestQueue } from './kafka-request-queue.ts';
import type { KafkaSettings } from './kafka-settings.ts';
import type { Logger } from './log.ts';

/**
 * One kafkajs client, with what its defaults lack.
 * @param retries how often it repeats by itself, in silence, what failed: few where we repeat and log
 */
export function connectKafka(settings: KafkaSettings, logger: Logger, retries: number): Kafka {
  if (!calmRequestQueue()) logger.warn({}, 'this kafkajs is not the one that the SDK knows: its idle timer runs on');
  registerCodecs();
  return new Kafka({
    brokers: [...settings.brokers],
    clientId: settings.clientId ?? 'sluice-worker',
    ...(settings.ssl && { ssl: settings.ssl }),
    ...(settings.sasl && { sasl: settings.sasl }),
    connectionTimeout: 5_000,
    requestTimeout: 30_000,
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries },
    socketFactory: openSocket,
    logLevel: logLevel.WARN,
    logCreator: () => (entry) => {
      const { message, ...fields } = entry.log;
      // What it calls an error it mostly retries itself; what lasts is told where we repeat it, and once.
      logger.debug({ ...fields, kafka: entry.namespace }, message);
    },
  });
}

/** By a client of its own: one that has once asked for a topic fails at everything when that topic is deleted. */
export async function askAnew<Answer>(
  kafka: Pick<Kafka, 'admin'>,
  ask: (admin: Admin) => Promise<Answer>,
): Promise<Answer> {
  const admin = kafka.admin();
  try {
    await admin.connect();
    return await ask(admin);
  } finally {
    await admin.disconnect();
  }
}

/** kafkajs leaves Nagle's algorithm on, which holds small requests back. */
function openSocket(options: { host: string; port: number; ssl: object; onConnect: () => void }): Socket {
  const { host, port, ssl, onConnect } = options;
  const socket = ssl
    ? connectTls({ host, port, servername: host, ...ssl }, onConnect)
    : connectTcp({ host, port }, onConnect);
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 60_000);
  return socket;
}
