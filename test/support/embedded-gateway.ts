// A gateway on the embedded stack as a process of its own, with a worker beside it in the same process: started from
// `SLUICE_CONFIG` as users start it, for tests that kill it. The worker says that it has a command, and never answers.
import { createWorker, silentLogger } from '@sluice/worker';
import { createInProcessTransport } from '../../examples/orders/in-process.ts';
import { readConfig } from '../../src/cli/load.ts';
import { runStart } from '../../src/cli/start.ts';
import type { Gateway } from '../../src/gateway.ts';

const { config, warnings } = await readConfig();
await runStart(config, { warnings, attach });

async function attach({ broker, contract }: Gateway): Promise<() => Promise<void>> {
  if (broker === null) throw new Error('this process is for the channel inside it');
  const transport = createInProcessTransport(broker);
  const { namespace } = config.kafka;
  const worker = createWorker({ transport, group: 'calls', namespace, logger: silentLogger });
  for (const name of contract.commands.keys()) {
    worker.handle(name, async (_request, context) => {
      await context.accepted();
      await new Promise(() => {});
    });
  }
  await worker.start();
  return () => worker.stop({ timeoutMs: 0 });
}
