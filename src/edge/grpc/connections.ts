import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { forgetLongDeadlines } from './long-deadlines.ts';

type Address = { readonly host: string; readonly port: number; readonly maxConnections: number };

/**
 * The listening socket in front of grpc-js. A socket of our own, for grpc-js bounds no connections, and could not share
 * its port with HTTP.
 */
export class Connections {
  readonly #server: Server;
  readonly #listener: NetServer;
  readonly #sockets = new Set<Socket>();
  #drained: Promise<void> | null = null;

  constructor(server: Server, maxConnections: number) {
    this.#server = server;
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    forgetLongDeadlines(server);
    this.#listener = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      injector.injectConnection(socket);
    });
    this.#listener.maxConnections = maxConnections;
  }

  /** Resolves with the port; rejects where the address is taken or not ours. */
  listen({ host, port }: Pick<Address, 'host' | 'port'>): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#listener.once('error', reject);
      this.#listener.listen(port, host, () => {
        this.#listener.off('error', reject);
        const address = this.#listener.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  /** Takes no more connections and sends GOAWAY on those there are. Resolves once the last call has ended. */
  drain(): Promise<void> {
    this.#drained ??= this.#shutDown();
    return this.#drained;
  }

  /** Cuts off what is still open. */
  destroy(): void {
    this.#server.forceShutdown();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #shutDown(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#listener.close(() => resolve()));
    await new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    await closed;
  }
}
