import { destination, type Logger as PinoLogger, pino } from 'pino';
import pretty from 'pino-pretty';

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

/** Bytes that gather before a write; a line is at most this late, never lost at an orderly end. */
const BUFFER_BYTES = 12_288;

/** Level by name and time as text: what log stores and people read alike. */
const LINE_FORM = {
  base: null,
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (label: string) => ({ level: label }) },
};

/** JSON lines on standard output, or readable ones where `pretty`. Buffered: a line a call costs no system call each. */
export function createLog(options: { readonly level: LogLevel; readonly pretty: boolean }): Log {
  if (options.pretty) {
    // In this thread and written at once: a worker thread would take the last lines of a crash with it.
    const stream = pretty({ ignore: 'pid,hostname', singleLine: true, sync: true });
    return { logger: pino({ level: options.level }, stream) as PinoLogger, flush: () => undefined };
  }
  const stream = destination({ dest: 1, minLength: BUFFER_BYTES, sync: false });
  const timer = setInterval(() => stream.flush(), 1000);
  timer.unref();
  const logger = pino({ ...LINE_FORM, level: options.level }, stream);
  return { logger, flush: () => stream.flushSync() };
}

/** Says nothing: for tests and tools. */
export const silentLogger: Logger = Object.freeze({
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
});
