// The load: a process of its own that makes a bounded number of calls with a bounded number in flight, checks every
// answer, and reports. Told what to do by its parent over IPC; ends with its parent.
import { setTimeout as pause } from 'node:timers/promises';
import { type LoadClient, type MakeCall, Refused } from './load-client.ts';
import { connectGrpc } from './load-grpc.ts';
import { connectRest } from './load-rest.ts';

export interface LoadOrder {
  calls: number;
  inFlight: number;
}

export interface LoadReport {
  seconds: number;
  callsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Calls that were told to come again later, and did; their waiting is part of their latency. */
  refused: number;
}

/** `rest-recorded` is REST with `Prefer: respond-async`. */
export type LoadKind = 'rest' | 'rest-recorded' | 'grpc';

function connectClient(kind: LoadKind): LoadClient {
  if (kind === 'grpc') return connectGrpc(port);
  return connectRest(port, kind === 'rest' ? 'await' : 'respond-async');
}

/** Above every default wait of a gateway. */
const stallTimeoutMs = 60_000;

const port = Number(process.argv[3]);
const client = connectClient(process.argv[2] as LoadKind);
const callers: MakeCall[] = [];
let lastCall = 0;

process.on('message', (order: LoadOrder) => {
  makeCalls(order).then(
    (report) => process.send!(report),
    (error: Error) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit(0));

async function makeCalls({ calls, inFlight }: LoadOrder): Promise<LoadReport> {
  while (callers.length < inFlight) callers.push(await client.openCaller());
  const latenciesMs = new Float64Array(calls);
  const start = performance.now();
  let begun = 0;
  let refused = 0;
  const watchdog = watchProgress(() => begun);
  const run = async (makeCall: MakeCall) => {
    while (begun < calls) {
      const index = begun++;
      const begin = performance.now();
      refused += await callUntilTaken(makeCall, `call ${String(++lastCall).padStart(9, '0')}`);
      latenciesMs[index] = performance.now() - begin;
    }
  };
  await Promise.all(callers.slice(0, inFlight).map(run));
  clearInterval(watchdog);
  const seconds = (performance.now() - start) / 1000;
  latenciesMs.sort();
  const at = (part: number) => latenciesMs[Math.min(calls - 1, Math.floor(calls * part))]!;
  return { seconds, callsPerSecond: calls / seconds, p50Ms: at(0.5), p99Ms: at(0.99), refused };
}

/** Returns how often the call was refused. */
async function callUntilTaken(makeCall: MakeCall, text: string): Promise<number> {
  for (let refusals = 0; ; refusals++) {
    try {
      await makeCall(text);
      return refusals;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      await pause(error.retryAfterSeconds * 1000);
    }
  }
}

/** Ends the process, and with it the benchmark, when no call was begun for a while: an answer was lost. */
function watchProgress(readBegun: () => number): NodeJS.Timeout {
  let last = -1;
  return setInterval(() => {
    if (readBegun() === last) {
      console.error(`no answer for ${stallTimeoutMs / 1000} s after ${last} calls`);
      process.exit(1);
    }
    last = readBegun();
  }, stallTimeoutMs);
}
