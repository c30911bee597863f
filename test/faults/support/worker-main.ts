// A worker in a process of its own, on the SDK: `FAULTS_WORKER` holds its settings as JSON. It writes down every command
// that it is given and every effect that it makes, and kills itself where a request asks for it.
import { createWorker, kafkaTransport, type PostgresTransaction, silentLogger } from '@sluice/worker';
import { JournalWriter } from './journal.ts';
import { createHandler, watchRecords } from './work.ts';
import { openEffects } from './worker-effects.ts';
import type { WorkerSettings } from './worker-process.ts';

const settings = JSON.parse(process.env['FAULTS_WORKER'] ?? '{}') as WorkerSettings;
const { name, folder } = settings;
const journal = new JournalWriter(folder, name);
const effects = openEffects(settings, journal);
const bus = kafkaTransport({
  brokers: settings.brokers,
  sessionTimeoutMs: settings.sessionTimeoutMs,
  maxWaitMs: 100,
  createTopics: { partitions: settings.topicPartitions },
  logger: silentLogger,
});
const worker = createWorker<PostgresTransaction | null>({
  transport: watchRecords(bus, name, journal),
  group: settings.group,
  namespace: settings.namespace,
  concurrency: settings.concurrency,
  logger: silentLogger,
  deduplication: effects.deduplication,
});
const handler = createHandler<PostgresTransaction | null>({
  name,
  folder,
  journal,
  make: (call, context) => effects.make(call, context),
});
for (const { method, topic } of settings.methods) {
  worker.handle(method, handler, topic === undefined ? {} : { topic });
}
await worker.start();

process.on('SIGTERM', () => {
  void worker.stop({ timeoutMs: 5_000 }).then(async () => {
    await bus.close();
    await effects.close();
    process.exit(0);
  });
});
