// The long form of the promotion race, on a broker and a database of its own: `npm run test:race`. Exit code 1 where a call
// was lost. Options: --close=2000 --in-flight=200 --max-calls=100000 --write (keeps the counts in bench/results).
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { startKafkaBroker } from '../support/kafka-broker.ts';
import { startPostgres } from '../support/postgres-server.ts';
import { CLOSE_MS, type RaceReport, runPromotionRace } from '../support/promotion-race.ts';

const { values: options } = parseArgs({
  options: {
    close: { type: 'string', default: '2000' },
    'in-flight': { type: 'string', default: '200' },
    'max-calls': { type: 'string', default: '100000' },
    write: { type: 'boolean', default: false },
  },
});

function readCount(name: 'close' | 'in-flight' | 'max-calls'): number {
  const count = Number(options[name]);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new Error(`--${name} must be a whole number of 1 or more, not ${options[name]}`);
}

const plan = { closeReplies: readCount('close'), inFlight: readCount('in-flight'), maxCalls: readCount('max-calls') };
const [broker, postgres] = await Promise.all([startKafkaBroker(), startPostgres()]);
try {
  const databaseUrl = await postgres.createDatabase('promotion_race');
  const report = await runPromotionRace({ brokers: broker.brokers, databaseUrl, namespace: 'race' }, plan);
  const text = render(report);
  console.log(text);
  if (options.write) await write(text);
  const isWhole = report.answered + report.promised === report.calls && report.leftOpen === 0;
  if (!isWhole || report.lost.length > 0 || report.closeReplies < plan.closeReplies) process.exitCode = 1;
} finally {
  await Promise.all([broker.stop(), postgres.stop()]);
}

function render(report: RaceReport): string {
  const counts = [
    ['calls', report.calls],
    [`replies read within ±${CLOSE_MS} ms of the end of the wait`, report.closeReplies],
    ['answered 200 with their result', report.answered],
    ['answered 202, and the operation succeeded with their result', report.promised],
    ['replies that came while their row was being inserted', report.held],
    ['lost, or ended as anything else', report.lost.length],
    ['calls and commands that the gateway still held at the end', report.leftOpen],
    ['seconds', Math.round(report.seconds)],
  ];
  const buckets = report.buckets.map((one) => [`${one.fromMs} … ${one.fromMs + 10}`, one.answered, one.promised]);
  return [
    table(['what', 'count'], counts),
    table(['reply read, ms from the end of the wait', '200', '202 that succeeded'], buckets),
    ...report.lost.slice(0, 20).map((line) => `lost: ${line}`),
  ].join('\n\n');
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

async function write(text: string): Promise<void> {
  const folder = new URL('../../bench/results/', import.meta.url);
  await mkdir(folder, { recursive: true });
  const machine = `${cpus().length} cores (${cpus()[0]?.model}), Node ${process.version}`;
  const head = `# Promotion race\n\nReplies of a bare worker, spread over ±100 ms around the end of their call's wait, on one Kafka broker and\none PostgreSQL. ${new Date().toISOString()}, ${machine}, ${plan.inFlight} calls in flight. Made by \`npm run test:race -- --write\`.`;
  await writeFile(new URL('promotion-race.md', folder), `${head}\n\n${text}\n`);
}
