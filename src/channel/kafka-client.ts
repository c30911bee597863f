import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type ISocketFactory, Kafka, type KafkaConfig, logLevel, type RetryOptions, type SASLOptions } from 'kafkajs';
import type { Logger } from '../runtime/log.ts';
import type { KafkaConnectionConfig } from './kafka-config.ts';
import { quickenChecksums } from './kafka-crc.ts';
import { quickenRecords } from './kafka-record.ts';
import { calmRequestQueue } from './kafka-request-queue.ts';

const KEEP_ALIVE_MS = 60_000;

/** A kafkajs client and the sockets that it opened. */
export interface KafkaClient {
  readonly kafka: Kafka;
  /**
   * Breaks every connection and every later one: what still waits for an answer is rejected. kafkajs's own `disconnect`
   * waits for those answers, leaves a connection that is being opened alone, and does not end a join that is under way,
   * which would connect anew.
   */
  close(): void;
}

/** Connects to nothing yet. `retry` is how kafkajs looks for a broker that answers, not how sends are repeated. */
export function createKafkaClient(config: KafkaConnectionConfig, logger: Logger, retry: RetryOptions): KafkaClient {
  if (!calmRequestQueue()) logger.warn({}, 'this kafkajs is not the one that Sluice knows: its idle timer runs on');
  const isQuick = [quickenRecords(), quickenChecksums()].every((isReplaced) => isReplaced);
  if (!isQuick)
    logger.debug({}, 'this kafkajs is not the one that Sluice knows, or has sent already: its records cost more');
  const sockets = new SocketKeeper();
  const options: KafkaConfig = {
    brokers: [...config.brokers],
    clientId: config.clientId,
    ssl: config.ssl === true || config.ssl === false ? config.ssl : { ...config.ssl },
    connectionTimeout: config.connectTimeoutMs,
    authenticationTimeout: config.connectTimeoutMs,
    requestTimeout: config.requestTimeoutMs,
    enforceRequestTimeout: true,
    retry,
    socketFactory: sockets.factory,
    logLevel: logLevel.WARN,
    logCreator: () => forwardTo(logger),
  };
  if (config.sasl !== null) options.sasl = config.sasl as SASLOptions;
  return { kafka: new Kafka(options), close: () => sockets.close() };
}

class SocketKeeper {
  readonly #sockets = new Set<Socket>();
  #isClosed = false;

  /** kafkajs's own, but without Nagle's delay, which would hold back a small request until the last is acknowledged. */
  readonly factory: ISocketFactory = ({ host, port, ssl, onConnect }) => {
    const serverName = isIP(host) === 0 ? { servername: host } : {};
    const socket = ssl
      ? connectTls({ host, port, ...serverName, ...ssl }, onConnect)
      : connectTcp({ host, port }, onConnect);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    if (this.#isClosed) breakOff(socket);
    return socket;
  };

  close(): void {
    this.#isClosed = true;
    for (const socket of this.#sockets) breakOff(socket);
  }
}

/** With an error: kafkajs takes notice of nothing else. */
function breakOff(socket: Socket): void {
  socket.destroy(new Error('the channel is being closed'));
}

/**
 * kafkajs logs each failed try of what it or we repeat, as an error. The channel says itself, once, when it is cut off and
 * when it is back, so all of that is for debugging only.
 */
function forwardTo(logger: Logger): ReturnType<NonNullable<KafkaConfig['logCreator']>> {
  const kafkaLogger = logger.child({ library: 'kafkajs' });
  return ({ namespace, log }) => {
    const { message, timestamp: _timestamp, logger: _logger, stack: _stack, ...fields } = log;
    kafkaLogger.debug({ ...fields, namespace }, message);
  };
}
