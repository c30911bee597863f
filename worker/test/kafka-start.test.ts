// `npm run workers` on a real broker that has none of their topics, or is not there yet.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { describeWithKafka, uniqueName } from '../../test/support/real-parts.ts';
import { findFreePorts } from '../../test/support/wait.ts';

const PROGRAM = fileURLToPath(new URL('../../examples/orders/workers.ts', import.meta.url));

describeWithKafka('npm run workers', (brokers) => {
  const running: Workers[] = [];
  const doors: { close(): void }[] = [];

  afterEach(async () => {
    await Promise.all(running.splice(0).map((workers) => workers.end()));
    for (const door of doors.splice(0)) door.close();
  });

  function start(namespace: string, addresses = brokers): Workers {
    const workers = new Workers(namespace, addresses);
    running.push(workers);
    return workers;
  }

  test('comes up in a namespace without topics, quietly, also twice at a time', async () => {
    const namespace = uniqueName('fresh');
    const both = [start(namespace), start(namespace)];
    for (const workers of both) {
      await expect.poll(() => workers.state(), { timeout: 50_000 }).toBe('taking commands');
      expect(workers.complaints()).toEqual([]);
    }
  }, 120_000);

  test('waits for a broker that is not up yet, and says so', async () => {
    const [port = 0] = await findFreePorts(1);
    const workers = start(uniqueName('early'), [`127.0.0.1:${port}`]);
    await expect.poll(() => workers.complaints(), { timeout: 50_000 }).not.toEqual([]);
    expect(workers.complaints()[0]).toContain('reaching Kafka: not yet');
    doors.push(await openDoor(port, brokers[0] as string));
    await expect.poll(() => workers.state(), { timeout: 50_000 }).toBe('taking commands');
  }, 120_000);
});

/** The three services in a process of their own. */
class Workers {
  readonly #process: ChildProcess;
  #output = '';
  #errors = '';

  constructor(namespace: string, brokers: readonly string[]) {
    const { DATABASE_URL: _, ...env } = process.env;
    this.#process = spawn(process.execPath, [PROGRAM], {
      env: { ...env, KAFKA_BROKERS: brokers.join(','), KAFKA_NAMESPACE: namespace },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process.stdout?.on('data', (data) => {
      this.#output += String(data);
    });
    this.#process.stderr?.on('data', (data) => {
      this.#errors += String(data);
    });
  }

  state(): string {
    if (this.#process.exitCode !== null) return `ended: ${this.#errors}`;
    return this.#output.includes('take commands') ? 'taking commands' : 'starting';
  }

  /** Lines of warnings and errors. */
  complaints(): string[] {
    return this.#errors.split('\n').filter((line) => line !== '');
  }

  async end(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const closed = once(this.#process, 'close');
    this.#process.kill('SIGTERM');
    await closed;
  }
}

/** Stands before the broker: a broker whose own listener is open already, and at this address only now. */
async function openDoor(port: number, address: string): Promise<{ close(): void }> {
  const [host, brokerPort] = address.split(':');
  const sockets = new Set<Socket>();
  const server: Server = createServer((near) => {
    const far = connect(Number(brokerPort), host);
    for (const [socket, other] of [[near, far] as const, [far, near] as const]) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => other.destroy());
      socket.pipe(other);
    }
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const close = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { close };
}
