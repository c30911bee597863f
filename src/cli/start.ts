/** `sluice start`: a gateway from its first line of log to its exit code. */
import { constants } from 'node:os';
import { type Config, describeConfig } from '../config.ts';
import { type Gateway, startGateway } from '../gateway.ts';
import { createLog, type Log, type Logger } from '../runtime/log.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { renderBanner, renderLinesToTry } from './banner.ts';
import { asUsageProblems } from './load.ts';

export interface StartOptions {
  /** Of `loadConfig`. */
  readonly warnings?: readonly string[];
  /**
   * Runs once the gateway serves and before anything is printed, such as workers beside it. What it returns runs after
   * the drain, so that open calls still find their workers.
   */
  readonly attach?: (gateway: Gateway, logger: Logger) => Promise<() => Promise<void>>;
  /** Where the banner is printed: `terminal` (default) nowhere but there; `always` on standard error otherwise. */
  readonly banner?: 'terminal' | 'always';
}

type Signal = 'SIGTERM' | 'SIGINT';

/**
 * Serves until SIGTERM or SIGINT, drains, and ends the process with exit code 0; a second signal ends it at once with
 * 128 and the signal's number, as does one during the start, when nothing has been promised yet. What nobody caught is
 * logged and ends it with 1: a process whose state is not known must not go on making promises.
 * @throws UsageProblems, or whatever kept the gateway from starting.
 */
export async function runStart(config: Config, options: StartOptions = {}): Promise<void> {
  const log = createLog({ level: config.log.level, pretty: isPretty(config) });
  const signals = listenToSignals(log);
  endOnUncaught(log);
  for (const warning of options.warnings ?? []) log.logger.warn({}, warning);
  log.logger.debug(describeConfig(config), 'config');
  const gateway = await start(config, log);
  const detach = await options.attach?.(gateway, log.logger);
  const stop = signals.drainNext();
  announce(config, gateway, log.logger, options.banner ?? 'terminal');
  log.logger.info({ signal: await stop }, 'stopping');
  await gateway.drain();
  await detach?.();
  end(log, 0);
}

function isPretty({ log }: Config): boolean {
  return log.format === 'pretty' || (log.format === 'auto' && process.stdout.isTTY === true);
}

async function start(config: Config, log: Log): Promise<Gateway> {
  try {
    return await startGateway(config, { logger: log.logger, metrics: createMetrics({ withProcess: true }) });
  } catch (error) {
    log.flush();
    throw asUsageProblems(explainTakenPort(error));
  }
}

/** Node says which port is taken, but not by which setting another one is chosen. */
function explainTakenPort(error: unknown): unknown {
  const { code, address, port } = (error ?? {}) as { code?: string; address?: string; port?: number };
  if (code !== 'EADDRINUSE') return error;
  const message = `port ${port} on ${address} is taken; choose others with HTTP_PORT, GRPC_PORT, MANAGEMENT_PORT`;
  return new Error(message, { cause: error });
}

/** Until `drainNext` a signal ends the process at once; then the first one resolves its promise, and a second one ends. */
function listenToSignals(log: Log): { drainNext(): Promise<Signal> } {
  let onFirst: ((signal: Signal) => void) | null = null;
  const onSignal = (signal: Signal) => {
    if (onFirst === null) end(log, 128 + constants.signals[signal]);
    onFirst(signal);
    onFirst = null;
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return {
    drainNext: () =>
      new Promise((resolve) => {
        onFirst = resolve;
      }),
  };
}

function endOnUncaught(log: Log): void {
  const onError = (error: unknown) => {
    log.logger.error({ err: error }, 'a defect in Sluice: nobody caught this');
    end(log, 1);
  };
  process.on('uncaughtException', onError);
  process.on('unhandledRejection', onError);
}

function announce(config: Config, gateway: Gateway, logger: Logger, banner: 'terminal' | 'always'): void {
  const served = { config, contract: gateway.contract, ports: gateway.ports };
  if (process.stdout.isTTY && config.log.format !== 'json') process.stdout.write(renderBanner(served));
  else if (banner === 'always') process.stderr.write(renderBanner(served));
  const fields = { ...gateway.ports, commands: gateway.contract.commands.size, try: renderLinesToTry(served) };
  logger.info(fields, 'serving');
}

function end(log: Log, exitCode: number): never {
  log.flush();
  process.exit(exitCode);
}
