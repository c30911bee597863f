import type { Command } from './command.ts';
import { readTextHeader, toTextMap } from './headers.ts';
import { bindLogger, type Logger } from './log.ts';
import type { Progress } from './reply.ts';

/** Trace context as the command brought it (W3C); null where absent. */
export interface Trace {
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

/**
 * What a handler knows of its command, and what it can say before it answers. `Transaction` is what the worker's
 * de-duplication store offers; null where it offers none.
 */
export interface CommandContext<Transaction = null> {
  /** `package.Service/Method`. */
  readonly method: string;
  /** The same for each attempt: a key under which an effect can be made once. Null where the sender gave no `ce_id`. */
  readonly operationId: string | null;
  /** 1, 2, … */
  readonly attempt: number;
  /** After this moment nobody waits for the answer; null: no deadline. */
  readonly deadline: Date | null;
  /** The same as Unix milliseconds. */
  readonly deadlineMs: number | null;
  /**
   * Fires at the deadline, when the operation is cancelled, and at a stop of the worker that has waited long enough; its
   * reason is a CommandError of code DEADLINE_EXCEEDED, CANCELLED or UNAVAILABLE. After a stop the command runs again
   * elsewhere. Pass it to what you call.
   */
  readonly signal: AbortSignal;
  /**
   * Where the handler writes its effects, so that they are committed together with the stored reply; null for a store
   * that has no transactions. What is not committed by the deadline is rolled back.
   */
  readonly transaction: Transaction;
  /** The authenticated caller as the gateway knows it, or null. */
  readonly principal: string | null;
  readonly trace: Trace;
  /** How many gateways and workers this call has crossed. */
  readonly hops: number;
  /** All headers of the command as text, the last of equal names. */
  readonly headers: ReadonlyMap<string, string>;
  /** Adds method and operation to each line. */
  readonly log: Logger;
  /** Tells the gateway that a worker has the command. Sent without being asked once it has waited or run a while. */
  accepted(): Promise<void>;
  /**
   * For whoever watches the operation. Not a queue: while one report is on its way only the latest of those that follow
   * is kept. Never rejects for a bus that is down. @throws RangeError for a percentage outside 0 to 100
   */
  progress(progress: Progress): Promise<void>;
  /** HTTP status of the answer to REST callers. @throws RangeError unless 200 to 299 */
  setStatus(httpStatus: number): void;
  /** A response header; reaches callers where the command's policy lists it. @throws TypeError for a bad name or value */
  setHeader(name: string, value: string): void;
  /** A gRPC trailer, likewise. */
  setTrailer(name: string, value: string): void;
}

export interface ContextOptions {
  readonly method: string;
  readonly command: Command;
  readonly signal: AbortSignal;
  readonly transaction: unknown;
  readonly logger: Logger;
  readonly accepted: () => Promise<void>;
  readonly progress: (progress: Progress) => Promise<void>;
}

const MAX_RESPONSE_HEADERS = 64;

/** The context, and the `sluice-…` headers that the handler asked for. */
export function createContext(options: ContextOptions): {
  context: CommandContext<unknown>;
  responseHeaders: () => (readonly [string, string])[];
} {
  const { command, method } = options;
  const { headers } = command.record;
  const response = new Map<string, string>();
  const set = (prefix: string) => (name: string, value: string) => {
    checkHeader(name, value);
    response.set(prefix + name.toLowerCase(), value);
    if (response.size > MAX_RESPONSE_HEADERS)
      throw new RangeError(`more than ${MAX_RESPONSE_HEADERS} response headers`);
  };
  const context: CommandContext<unknown> = {
    method,
    operationId: command.id,
    attempt: command.attempt,
    deadline: command.deadlineMs === null ? null : new Date(command.deadlineMs),
    deadlineMs: command.deadlineMs,
    signal: options.signal,
    transaction: options.transaction,
    principal: readTextHeader(headers, 'sluice-principal'),
    trace: {
      traceparent: readTextHeader(headers, 'traceparent'),
      tracestate: readTextHeader(headers, 'tracestate'),
    },
    hops: command.hops,
    headers: toTextMap(headers),
    log: bindLogger(options.logger, { method, operationId: command.id }),
    accepted: options.accepted,
    progress: options.progress,
    setStatus(httpStatus) {
      if (!(Number.isInteger(httpStatus) && httpStatus >= 200 && httpStatus <= 299)) {
        throw new RangeError(`httpStatus: expected 200 to 299, got ${httpStatus}; throw a CommandError for a refusal`);
      }
      response.set('sluice-http-status', String(httpStatus));
    },
    setHeader: set('sluice-header-'),
    setTrailer: set('sluice-trailer-'),
  };
  return { context, responseHeaders: () => [...response] };
}

/** RFC 9110, sections 5.1 and 5.5: a token, and a value without controls. */
function checkHeader(name: string, value: string): void {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) throw new TypeError(`header name: got ${JSON.stringify(name)}`);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what is looked for
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value))
    throw new TypeError(`header ${name}: control character in value`);
}
