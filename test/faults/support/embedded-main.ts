// A gateway on the embedded store with a worker beside it in the same process, as `npm start` has it. Marks in memory:
// they die with the process, so an effect may be made twice over a kill.
import { createWorker, silentLogger } from '@sluice/worker';
import { createInProcessTransport } from '../../../examples/orders/in-process.ts';
import { readConfig } from '../../../src/cli/load.ts';
import { runStart } from '../../../src/cli/start.ts';
import type { Gateway } from '../../../src/gateway.ts';
import { JournalWriter } from './journal.ts';
import { createHandler, watchRecords } from './work.ts';

const folder = process.env['FAULTS_FOLDER'] ?? '.';
const { config, warnings } = await readConfig();
await runStart(config, { warnings, attach });

async function attach(gateway: Gateway): Promise<() => Promise<void>> {
  if (gateway.broker === null) throw new Error('this run is for the channel inside the process');
  const name = 'embedded';
  const journal = new JournalWriter(folder, name);
  const transport = watchRecords(createInProcessTransport(gateway.broker), name, journal);
  const worker = createWorker({
    transport,
    group: 'embedded',
    namespace: config.kafka.namespace,
    logger: silentLogger,
  });
  const make = async (call: string, context: { readonly operationId: string | null }) =>
    journal.write({ kind: 'effect', worker: name, id: context.operationId ?? '', call, atMs: Date.now() });
  worker.handle('faults.v1.Work/Do', createHandler({ name, folder, journal, make }));
  await worker.start();
  return () => worker.stop({ timeoutMs: 5_000 });
}
