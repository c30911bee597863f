// `npm run bench`: the gateways of `targets.ts` in turn, several rounds, on one broker and one echo worker, and what a
// call costs each of them in CPU. Options: --rounds=3 --calls=40000 --warm-up=10000 --in-flight=64
// --only=floor-rest,sluice-rest --write (keeps the results in bench/results).
import { parseArgs } from 'node:util';
import { startKafkaBroker } from '../test/support/kafka-broker.ts';
import { type PostgresServer, startPostgres } from '../test/support/postgres-server.ts';
import { type Measurement, measureTarget } from './measure.ts';
import { renderReport, writeResults } from './report.ts';
import { targets } from './targets.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    calls: { type: 'string', default: '40000' },
    'warm-up': { type: 'string', default: '10000' },
    'in-flight': { type: 'string', default: '64' },
    only: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
});

function readCount(name: 'rounds' | 'calls' | 'warm-up' | 'in-flight', most: number): number {
  const count = Number(options[name]);
  if (Number.isInteger(count) && count >= 1 && count <= most) return count;
  throw new Error(`--${name} must be a whole number from 1 to ${most}, not ${options[name]}`);
}

const rounds = readCount('rounds', 20);
const load = {
  calls: readCount('calls', 1_000_000),
  warmUpCalls: readCount('warm-up', 1_000_000),
  inFlight: readCount('in-flight', 1_000),
};
const wanted = options.only?.split(',') ?? targets.map(({ name }) => name);
for (const name of wanted) {
  if (!targets.some((target) => target.name === name)) throw new Error(`--only: there is no target "${name}"`);
}
for (const target of targets.filter(({ skip }) => skip)) console.log(`${target.name}: not run, ${target.skip}`);
const chosen = targets.filter(({ name, skip }) => wanted.includes(name) && !skip);

const broker = await startKafkaBroker();
let postgres: PostgresServer | undefined;
try {
  if (chosen.some(({ needsDatabase }) => needsDatabase)) postgres = await startPostgres();
  const measurements: Measurement[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const target of chosen) {
      const measurement = await measureTarget(target, { broker, postgres, round, load });
      measurements.push(measurement);
      const { callsPerSecond, cpuMicros, postgresMicros, p50Ms, refused } = measurement;
      const database = postgresMicros === undefined ? '' : `, ${postgresMicros.toFixed(1)} µs CPU of PostgreSQL`;
      const cpu = `${cpuMicros.toFixed(1)} µs CPU${database}`;
      const rest = `p50 ${p50Ms.toFixed(1)} ms${refused > 0 ? `, ${refused} refused` : ''}`;
      const numbers = `${Math.round(callsPerSecond)} calls/s, ${cpu}, ${rest}`;
      console.log(`round ${round} ${target.name}: ${numbers}`);
    }
  }
  console.log(`\n${renderReport(measurements, targets)}`);
  if (options.write) await writeResults(measurements, targets, { ...load, rounds });
} finally {
  await Promise.all([broker.stop(), postgres?.stop()]);
}
