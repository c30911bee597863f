// The three services on one bus: what `npm start` runs inside the gateway's process and `npm run workers` beside it.
import { CommandClient, type Logger, type WorkerTransport } from '@sluice/worker';
import { createInventoryWorker, type Pause } from './inventory.ts';
import { createOrdersWorker } from './orders.ts';
import { createPaymentsWorker } from './payments.ts';

export interface ServicesOptions {
  /** Shared by the three, and closed by whoever made it. */
  readonly transport: WorkerTransport;
  readonly namespace?: string | undefined;
  readonly logger?: Logger;
  /** How SKU `SLOW` waits; a test's need not. */
  readonly pause?: Pause;
}

export interface RunningServices {
  stop(options?: { timeoutMs?: number }): Promise<void>;
}

/** Resolves when all three take commands. */
export async function startServices(options: ServicesOptions): Promise<RunningServices> {
  const { transport, namespace, logger } = options;
  const shared = { transport, namespace, ...(logger && { logger }) };
  const client = new CommandClient({ ...shared, name: 'orders' });
  const inventory = createInventoryWorker(shared, options.pause);
  const payments = createPaymentsWorker(shared);
  const orders = createOrdersWorker(shared, client);
  const stop = async (stopOptions?: { timeoutMs?: number }) => {
    // Orders first: what it has begun needs the other two to be ended.
    await orders.stop(stopOptions);
    await client.close();
    await Promise.all([inventory.stop(stopOptions), payments.stop(stopOptions)]);
  };
  try {
    await Promise.all([client.start(), inventory.start(), payments.start()]);
    await orders.start();
  } catch (error) {
    await stop({ timeoutMs: 1 });
    throw error;
  }
  return { stop };
}
