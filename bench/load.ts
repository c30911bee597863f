// The load: a process of its own that makes a bounded number of calls with a bounded number in flight, checks every
// answer, and reports. Told what to do by its parent over IPC; ends with its parent.
import { connectGrpc } from './load-grpc.ts';
import { connectRest } from './load-rest.ts';

/** Makes one call whose text is `text` and throws unless the answer carries it. */
export type MakeCall = (text: string) => Promise<void>;

export interface LoadClient {
  /** One caller: what it calls does not overlap. */
  openCaller(): Promise<MakeCall>;
  close(): void;
}

export interface LoadOrder {
  calls: number;
  inFlight: number;
}

export interface LoadReport {
  seconds: number;
  callsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
}

/** Above every default wait of a gateway. */
const stallTimeoutMs = 60_000;

const port = Number(process.argv[3]);
const client = process.argv[2] === 'grpc' ? connectGrpc(port) : connectRest(port);
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
  const watchdog = watchProgress(() => begun);
  const run = async (makeCall: MakeCall) => {
    while (begun < calls) {
      const index = begun++;
      const begin = performance.now();
      await makeCall(`call ${String(++lastCall).padStart(9, '0')}`);
      latenciesMs[index] = performance.now() - begin;
    }
  };
  await Promise.all(callers.slice(0, inFlight).map(run));
  clearInterval(watchdog);
  const seconds = (performance.now() - start) / 1000;
  latenciesMs.sort();
  const at = (part: number) => latenciesMs[Math.min(calls - 1, Math.floor(calls * part))]!;
  return { seconds, callsPerSecond: calls / seconds, p50Ms: at(0.5), p99Ms: at(0.99) };
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
