// `npm run workers`: the three services against Kafka, in a process of their own. See README.md for the environment.
import { jsonLogger, kafkaTransport, readKafkaEnvironment } from '@sluice/worker';
import { endWithNpm } from '../../src/cli/npm-parent.ts';
import { startServices } from './services.ts';

const PARTITIONS = 6;
const STOP_TIMEOUT_MS = 25_000;

async function main(): Promise<void> {
  endWithNpm();
  const { kafka, namespace } = readKafkaEnvironment();
  const logger = jsonLogger({ service: 'orders-demo' });
  const transport = kafkaTransport({
    ...kafka,
    clientId: 'orders-demo',
    createTopics: { partitions: PARTITIONS },
    logger,
  });
  const services = await startServices({ transport, namespace, logger });
  logger.info({ brokers: kafka.brokers, namespace }, 'orders, inventory and payments take commands');
  const stop = async () => {
    await services.stop({ timeoutMs: STOP_TIMEOUT_MS });
    await transport.close();
  };
  let stopping = false;
  const onSignal = () => {
    // A second signal is an order, not a request.
    if (stopping) process.exit(1);
    stopping = true;
    stop().then(() => process.exit(0), fail);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

function fail(error: unknown): void {
  process.stderr.write(`workers: ${(error as Error).message}\n`);
  process.exit(1);
}

main().catch(fail);
