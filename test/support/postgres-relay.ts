// Ways to a real PostgreSQL that come up late, lead elsewhere after a while, or do something of their own with the first
// connection.
import { createConnection, createServer, type Server, type Socket } from 'node:net';

export interface Relay {
  /** Of the same database, through the relay. */
  readonly url: string;
  /** Ends all connections; from now on it leads to the server of this URL, as a name does that is given to another one. */
  pointTo(databaseUrl: string): void;
  close(): Promise<void>;
}

/** Authentication is well, ready for a query, and FATAL 57P01: messages of PostgreSQL's protocol 3 (chapter 54.7 of its manual). */
const GREETING_AND_END = Buffer.concat([
  message('R', Buffer.alloc(4)),
  message('Z', Buffer.from('I')),
  message('E', Buffer.from('SFATAL\0C57P01\0Mterminating connection due to unexpected postmaster exit\0\0')),
]);

/** From when it is opened it forwards a port of 127.0.0.1 (0: a free one). */
export async function openRelay(databaseUrl: string, port = 0, takeFirst?: (inbound: Socket) => void): Promise<Relay> {
  let target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  const endAll = () => {
    for (const socket of sockets) socket.destroy();
  };
  const keep = (socket: Socket) => {
    sockets.add(socket);
    return socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  };
  let first = takeFirst;
  const server: Server = createServer((inbound) => {
    keep(inbound);
    if (first) {
      first(inbound);
      first = undefined;
      return;
    }
    const outbound = keep(createConnection({ host: target.hostname, port: Number(target.port || 5432) }));
    inbound.pipe(outbound).pipe(inbound);
    // A side that is refused or reset has no end that a pipe would hand on.
    inbound.on('close', () => outbound.destroy());
    outbound.on('close', () => inbound.destroySoon());
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  return {
    url: url.href,
    pointTo: (other) => {
      target = new URL(other);
      endAll();
    },
    close: () => {
      endAll();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/**
 * The first connection is greeted and ended in one packet, as by a server that goes down just then: the driver reports the
 * end before anybody who asked for the connection has it.
 */
export function openDyingRelay(databaseUrl: string): Promise<Relay> {
  return openRelay(databaseUrl, 0, (inbound) => inbound.once('data', () => inbound.end(GREETING_AND_END)));
}

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5, type);
  head.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}
