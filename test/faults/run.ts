// The long form of the fault runs, on a broker and a database of their own: `npm run test:faults`, or `npm run test:faults --
// kill-gateways …` for some. Prints a row for each and writes it into docs/reliability.md with `--write`. Exit code 1 where
// a column that must be 0 is not. `--short` runs the form of CI.
import { parseArgs } from 'node:util';
import { scenarios } from './scenarios.ts';
import { startServers } from './support/cluster.ts';
import { renderRow, renderTable, writeRows } from './support/report.ts';
import { listTroubles, type Outcome } from './support/scenario.ts';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean', default: false }, write: { type: 'boolean', default: false } },
});
for (const name of positionals) {
  if (!scenarios.some((scenario) => scenario.name === name)) {
    throw new Error(`there is no run "${name}"; there are ${scenarios.map((scenario) => scenario.name).join(', ')}`);
  }
}
const form = options.short ? 'short' : 'long';
const chosen = scenarios.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
const outcomes = new Map<string, Outcome>();
const notRun: string[] = [];
const servers = await startServers();
try {
  for (const scenario of chosen) {
    const missing = (await scenario.missing?.()) ?? null;
    if (missing !== null) {
      notRun.push(`${scenario.name}: NOT RUN, ${missing}`);
      console.log(notRun.at(-1));
      continue;
    }
    const startedMs = performance.now();
    const say = (line: string) => console.log(`  ${((performance.now() - startedMs) / 1000).toFixed(1)} s  ${line}`);
    console.log(`\n${scenario.name}: ${scenario.title}`);
    try {
      const outcome = await scenario.run({ form, servers, say });
      outcomes.set(scenario.name, outcome);
      const troubles = listTroubles(outcome);
      for (const line of [...(outcome.notes ?? []), ...outcome.tally.silences, ...troubles]) say(line);
      say(renderRow(scenario, outcome));
      if (troubles.length > 0) process.exitCode = 1;
    } catch (error) {
      console.log(`${scenario.name}: BROKE OFF`, error);
      process.exitCode = 1;
    }
  }
} finally {
  await servers.stop();
}
console.log(`\n${renderTable(scenarios, outcomes)}`);
for (const line of notRun) console.log(line);
if (options.write) await writeRows(scenarios, outcomes);
