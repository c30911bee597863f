// A worker in a process of its own that is killed by itself, as by SIGKILL from outside, at a moment that its argument names:
// `handler`: after the effect was written and before the commit; `reply`: after the commit and before the reply.
import { kafkaTransport } from '../../src/kafka-transport.ts';
import { silentLogger } from '../../src/log.ts';
import type { WorkerTransport } from '../../src/transport.ts';
import { createWorker } from '../../src/worker.ts';
import { METHOD } from './bench.ts';
import { addEffect, createPool, createStore } from './marks.ts';

const [moment, brokers = '', url = '', namespace = ''] = process.argv.slice(2);

/** The rest of the program must not run on for a moment, as it would after a signal that takes its way. */
function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => {});
}

const kafka = kafkaTransport({
  brokers: brokers.split(','),
  logger: silentLogger,
  maxWaitMs: 100,
  sessionTimeoutMs: 2_000,
});
const transport: WorkerTransport = {
  ensureTopics: (topics) => kafka.ensureTopics?.(topics) ?? Promise.resolve(),
  subscribe: (options) => kafka.subscribe(options),
  openInbox: (options) => kafka.openInbox(options),
  send: (records) => (moment === 'reply' ? die() : kafka.send(records)),
  close: () => kafka.close(),
};
const worker = createWorker({
  transport,
  group: 'shop',
  namespace,
  acceptedAfterMs: 60_000,
  deduplication: createStore(createPool(url)),
  logger: silentLogger,
});
worker.handle(METHOD, async (_request, context) => {
  await addEffect(context.transaction, context.operationId ?? '', 'killed');
  return moment === 'handler' ? die() : { by: 'killed' };
});
await worker.start();
process.stdout.write('ready\n');
