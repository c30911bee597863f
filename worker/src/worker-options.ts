import type { Clock } from './clock.ts';
import type { Codec } from './codec.ts';
import type { DeduplicationStore } from './deduplication.ts';
import type { Logger } from './log.ts';
import type { WorkerTransport } from './transport.ts';

/** `Transaction`: what the de-duplication store gives to handlers; see `CommandContext`. */
export interface WorkerOptions<Transaction = null> {
  /** Closed by whoever made it: several workers and clients may share one. */
  readonly transport: WorkerTransport;
  /** Workers of one group share the commands. Takes the namespace. */
  readonly group: string;
  /** Before group and default topic names: `<namespace>.<name>`. The gateway's `KAFKA_NAMESPACE`. */
  readonly namespace?: string | undefined;
  /** Commands that run at once. Default 16. */
  readonly concurrency?: number;
  /** Commands received and not answered; at the bound fetching pauses. One fetch may pass it. Default 1,000. */
  readonly maxInFlight?: number;
  /** `accepted` is sent once a command has waited or run this long. Default 500. */
  readonly acceptedAfterMs?: number;
  /**
   * The `redeliver_after` of the commands' policies: `accepted` is sent again every third of it, so that a command that
   * waits or runs long is not sent a second time. No header tells it to workers. Default: `accepted` is sent once.
   */
  readonly redeliverAfterMs?: number;
  /** Where the gateway tells of cancelled operations; takes the namespace. False: not read. Default `sluice.control`. */
  readonly controlTopic?: string | false;
  /** How long a handler that ignores its signal keeps its place after the deadline. Default 30,000. */
  readonly abandonAfterMs?: number;
  /** Offsets are committed in the background, this long after a command is done. Default 100. */
  readonly commitIntervalMs?: number;
  /** Puts messages of unexpected errors into replies. For development: they may tell secrets. Default false. */
  readonly exposeErrors?: boolean;
  readonly codec?: Codec;
  readonly deduplication?: DeduplicationStore<Transaction>;
  /** Default: lines of JSON. A pino logger fits. */
  readonly logger?: Logger;
  readonly clock?: Clock;
}

export interface HandleOptions {
  /** Takes the namespace, as a policy's `topic` does. Default: `<package>.<Service>.<Method>`. Several methods may share one. */
  readonly topic?: string;
  /** Of this method's policy, where it differs from the worker's. */
  readonly redeliverAfterMs?: number;
}

export interface StopOptions {
  /** How long handlers may go on before their signal fires. Default 30,000. */
  readonly timeoutMs?: number;
  /** How long they may take after that. Default 1,000. */
  readonly graceMs?: number;
}

/** @throws RangeError that names the option */
export function readBound(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 1)
    throw new RangeError(`${name}: expected a whole number from 1, got ${value}`);
  return value;
}
