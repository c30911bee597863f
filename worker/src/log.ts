/** The shape of a pino logger, so that one can be passed as it is. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

type Level = keyof Logger;

/** A line of JSON an event: `info` and `debug` on stdout, the rest on stderr. `debug` is dropped. */
export function jsonLogger(bound: Record<string, unknown> = {}): Logger {
  const write = (level: Level) => (fields: object, message: string) => {
    if (level === 'debug') return;
    const line = JSON.stringify({ time: new Date().toISOString(), level, ...bound, ...plain(fields), message });
    (level === 'info' ? process.stdout : process.stderr).write(`${line}\n`);
  };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };

/** A logger that adds `bound` to every line; works with any logger of the shape, not only those with `child`. */
export function bindLogger(logger: Logger, bound: object): Logger {
  const write = (level: Level) => (fields: object, message: string) => logger[level]({ ...bound, ...fields }, message);
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

/** An Error has no enumerable fields: without this it would be logged as `{}`. */
function plain(fields: object): Record<string, unknown> {
  const entries = Object.entries(fields).map(([name, value]) => [
    name,
    value instanceof Error ? { name: value.name, message: value.message, stack: value.stack } : value,
  ]);
  return Object.fromEntries(entries);
}
