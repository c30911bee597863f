// `npm start`: the gateway with the contract of this example and, on the channel inside the process, its three services
// beside it. With KAFKA_BROKERS the commands go to Kafka and the services run elsewhere: `npm run workers`.
import { fileURLToPath } from 'node:url';
import { jsonLogger } from '@sluice/worker';
import { readConfig } from '../../src/cli/load.ts';
import { endWithNpm } from '../../src/cli/npm-parent.ts';
import { runStart } from '../../src/cli/start.ts';
import type { Gateway } from '../../src/gateway.ts';
import { startInProcess } from './in-process.ts';

const STOP_TIMEOUT_MS = 5000;

async function main(): Promise<void> {
  endWithNpm();
  const contract = fileURLToPath(new URL('proto', import.meta.url));
  const { config, warnings } = await readConfig({ defaultSources: [contract] });
  await runStart(config, {
    warnings,
    banner: 'always',
    attach: (gateway) => attachServices(gateway, config.kafka.namespace),
  });
}

async function attachServices(gateway: Gateway, namespace: string): Promise<() => Promise<void>> {
  if (gateway.broker === null) return async () => undefined;
  const services = await startInProcess(gateway.broker, { namespace, logger: jsonLogger({ service: 'orders-demo' }) });
  return () => services.stop({ timeoutMs: STOP_TIMEOUT_MS });
}

main().catch((error: Error) => {
  const problems = (error as { problems?: readonly string[] }).problems ?? [error.message];
  process.stderr.write(`${problems.map((problem) => `error: ${problem}`).join('\n')}\n`);
  process.exit(1);
});
