import { destination, type Logger as PinoLogger, pino } from 'pino';
import pretty from 'pino-pretty';
import { toTimestamp } from './timestamp.ts';

/** Structured log. One wide line per unit of work: fields first, then what happened. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface Log {
  readonly logger: Logger;
  /** Writes out what is buffered; call before the process ends. */
  flush(): void;
}

/**
 * A line is at most so late, or until so much has gathered, and never lost at an orderly end; a process that is killed takes
 * with it what it said in that second.
 */
const FLUSH_EVERY_MS = 1000;
const GATHERED_CHARACTERS = 32_768;

/** Level by name and time as text: what log stores and people read alike. */
const LINE_FORM = {
  base: null,
  timestamp: () => `,"time":"${toTimestamp(Date.now())}"`,
  formatters: { level: (label: string) => ({ level: label }) },
};

/** JSON lines on standard output, or readable ones where `pretty`. Buffered: a line a call costs no system call each. */
export function createLog(options: { readonly level: LogLevel; readonly pretty: boolean }): Log {
  if (options.pretty) {
    // In this thread and written at once: a worker thread would take the last lines of a crash with it.
    const stream = pretty({ ignore: 'pid,hostname', singleLine: true, sync: true });
    return { logger: pino({ level: options.level }, stream) as PinoLogger, flush: () => undefined };
  }
  const lines = new GatheredLines();
  const timer = setInterval(() => lines.handOver(), FLUSH_EVERY_MS);
  timer.unref();
  // Of a process that ends in a way that nobody foresaw, the last lines tell why.
  process.once('exit', () => lines.flush());
  return { logger: pino({ ...LINE_FORM, level: options.level }, lines), flush: () => lines.flush() };
}

/**
 * Lines on their way to standard output, many in one piece: the stream below measures all that it holds with each piece that
 * it is given.
 */
class GatheredLines {
  readonly #stream = destination({ dest: 1, sync: false });
  #text = '';

  write(line: string): void {
    this.#text += line;
    if (this.#text.length >= GATHERED_CHARACTERS) this.handOver();
  }

  handOver(): void {
    if (this.#text === '') return;
    this.#stream.write(this.#text);
    this.#text = '';
  }

  flush(): void {
    this.handOver();
    this.#stream.flushSync();
  }
}

/** Says nothing: for tests and tools. */
export const silentLogger: Logger = Object.freeze({
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
});
