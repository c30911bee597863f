import { createRequire } from 'node:module';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Kafka, logLevel } from 'kafkajs';
import type { KafkaSettings } from './kafka-settings.ts';
import type { Logger } from './log.ts';

/** One kafkajs client, with what its defaults lack. */
export function connectKafka(settings: KafkaSettings, logger: Logger): Kafka {
  patchIdleTimer();
  return new Kafka({
    brokers: [...settings.brokers],
    clientId: settings.clientId ?? 'sluice-worker',
    ...(settings.ssl && { ssl: settings.ssl }),
    ...(settings.sasl && { sasl: settings.sasl }),
    connectionTimeout: 5_000,
    requestTimeout: 30_000,
    retry: { initialRetryTime: 100, maxRetryTime: 5_000, retries: 10 },
    socketFactory: openSocket,
    logLevel: logLevel.WARN,
    logCreator: () => (entry) => {
      const { message, ...fields } = entry.log;
      // What it calls an error it mostly retries itself.
      if (entry.level === logLevel.ERROR) logger.warn({ ...fields, kafka: entry.namespace }, message);
      else logger.debug({ ...fields, kafka: entry.namespace }, message);
    },
  });
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

interface RequestQueue {
  pending: unknown[];
  throttledUntil: number;
  scheduleCheckPendingRequests(): void;
}

/**
 * kafkajs 2.2.4 sets a timer after each response although nothing is pending, with a negative delay that Node makes 1 ms
 * and warns of: some 3 % of a core for each connection. Here the timer is set only where something waits.
 */
function patchIdleTimer(): void {
  const module: unknown = createRequire(import.meta.url)('kafkajs/src/network/requestQueue');
  const { prototype } = module as { prototype: RequestQueue & { patchedBySluice?: boolean } };
  if (prototype.patchedBySluice) return;
  const schedule = prototype.scheduleCheckPendingRequests;
  prototype.patchedBySluice = true;
  prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0) schedule.call(this);
  };
}
