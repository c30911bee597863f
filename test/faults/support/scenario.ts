// A fault, put on in a short form for CI and a long one for docs/reliability.md.
import type { Servers } from './cluster.ts';
import type { Tally } from './tally.ts';

export type Form = 'short' | 'long';

export interface Stage {
  readonly form: Form;
  readonly servers: Servers;
  /** Says what happens; to the terminal in long runs. */
  say(line: string): void;
}

export interface Scenario {
  /** On the command line. */
  readonly name: string;
  /** In the table. */
  readonly title: string;
  /** Why it cannot run here; null where it can. */
  missing?(): Promise<string | null>;
  run(stage: Stage): Promise<Outcome>;
}

export interface Outcome {
  readonly tally: Tally;
  /** What else was looked at, for the table: `10 kills`. */
  readonly faults: string;
  /** What was measured beside the count. */
  readonly notes?: readonly string[];
  /** What broke that no column counts; empty where it is well. */
  readonly broken?: readonly string[];
}

/** The columns that must be 0. */
export const DUE_ZEROS = ['lost', 'stuck', 'wrong', 'misinformed', 'doubled'] as const;

/** What is wrong with an outcome: sentences, none where all is well. */
export function listTroubles({ tally, broken = [] }: Outcome): string[] {
  const sums = DUE_ZEROS.filter((column) => tally[column] !== 0).map((column) => `${column}: ${tally[column]}`);
  return [...broken, ...(sums.length > 0 ? [...sums, ...tally.findings] : [])];
}

/** Of the table in docs/reliability.md. */
export const COLUMNS: readonly (readonly [string, Exclude<keyof Tally, 'findings' | 'silences'>])[] = [
  ['calls', 'calls'],
  ['acknowledged', 'acknowledged'],
  ['commands seen', 'seen'],
  ['delivered twice', 'redelivered'],
  ['results delivered', 'delivered'],
  ['told `failed`', 'failed'],
  ['told `unknown`', 'unknown'],
  ['resets', 'resets'],
  ['no answer', 'silent'],
  ['lost', 'lost'],
  ['stuck', 'stuck'],
  ['wrong', 'wrong'],
  ['misinformed', 'misinformed'],
  ['doubled', 'doubled'],
  ['doubled, marks in memory', 'doubledInMemory'],
];
