// Outcomes as rows of the table in docs/reliability.md. A row is replaced when its run is; the others stay.
import { readFile, writeFile } from 'node:fs/promises';
import { COLUMNS, type Outcome, type Scenario } from './scenario.ts';

const DOCUMENT = new URL('../../../docs/reliability.md', import.meta.url);
const BEGIN = '<!-- rows of `npm run test:faults -- --write`; do not edit -->';
const END = '<!-- end of rows -->';

export function renderRow(scenario: Scenario, { tally, faults, notes = [] }: Outcome): string {
  const what = [scenario.title, faults, ...notes].join('; ');
  return `| ${[what, ...COLUMNS.map(([, column]) => String(tally[column])), `\`npm run test:faults -- ${scenario.name}\``].join(' | ')} |`;
}

function renderHead(): string[] {
  const names = ['run', ...COLUMNS.map(([name]) => name), 'again'];
  return [`| ${names.join(' | ')} |`, `|${names.map((_, index) => (index === 0 ? '---' : '---:')).join('|')}|`];
}

export function renderTable(scenarios: readonly Scenario[], outcomes: ReadonlyMap<string, Outcome>): string {
  const rows = scenarios.flatMap((scenario) => {
    const outcome = outcomes.get(scenario.name);
    return outcome ? [renderRow(scenario, outcome)] : [];
  });
  return [...renderHead(), ...rows].join('\n');
}

/** Keeps the rows of runs that were not made this time. */
export async function writeRows(scenarios: readonly Scenario[], outcomes: ReadonlyMap<string, Outcome>): Promise<void> {
  const text = await readFile(DOCUMENT, 'utf8');
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error('docs/reliability.md has lost the marks between which its rows stand');
  const old = text.slice(begin, end).split('\n');
  const rows = scenarios.flatMap((scenario) => {
    const outcome = outcomes.get(scenario.name);
    const kept = old.find((line) => line.includes(`-- ${scenario.name}\``));
    return outcome ? [renderRow(scenario, outcome)] : kept ? [kept] : [];
  });
  const table = [BEGIN, '', ...renderHead(), ...rows, ''].join('\n');
  await writeFile(DOCUMENT, `${text.slice(0, begin)}${table}\n${text.slice(end)}`);
}
