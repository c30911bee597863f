// What workers tell of themselves, line by line in a file each: written before anything is answered, by a system call of
// its own, so that it is there also when the worker is killed the moment after.
import { closeSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** A command record came to a worker, also one that de-duplication then answers. */
export interface SeenLine {
  readonly kind: 'seen';
  readonly worker: string;
  /** `ce_id`. */
  readonly id: string;
  readonly attempt: number;
  /** Of the request. */
  readonly call: string;
  /** `x-try` of the caller's request that made the command. */
  readonly try: string;
  /** `faults.v1.Work.Do` */
  readonly type: string;
  readonly atMs: number;
}

/** An effect was made that nothing takes back. Those behind the PostgreSQL store stand in its database instead. */
export interface EffectLine {
  readonly kind: 'effect';
  readonly worker: string;
  readonly id: string;
  readonly call: string;
  readonly atMs: number;
}

/** The worker is about to kill itself. */
export interface DiedLine {
  readonly kind: 'died';
  readonly worker: string;
  readonly call: string;
}

export type JournalLine = SeenLine | EffectLine | DiedLine;

const SUFFIX = '.journal';

/** Appends to this worker's file in `folder`; a worker started again goes on with its file. */
export class JournalWriter {
  readonly #file: number;

  constructor(folder: string, worker: string) {
    this.#file = openSync(join(folder, `${worker}${SUFFIX}`), 'a');
  }

  write(line: JournalLine): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** All lines of all workers, without a last one that was cut off by a kill. */
export function readJournal(folder: string): JournalLine[] {
  const files = readdirSync(folder).filter((name) => name.endsWith(SUFFIX));
  return files.flatMap((name) => {
    const lines = readFileSync(join(folder, name), 'utf8').split('\n');
    return lines.slice(0, -1).flatMap(parseLine);
  });
}

function parseLine(text: string): JournalLine[] {
  try {
    return [JSON.parse(text) as JournalLine];
  } catch {
    // Two halves of a line, of a worker that was killed and started again.
    return [];
  }
}
