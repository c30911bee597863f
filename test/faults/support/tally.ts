// The count at the end of a run, after the faults: every promise is asked after at another instance until it is done, and
// what callers were told is held against what workers saw and did.
import { setTimeout as pause } from 'node:timers/promises';
import { type Call, listPromises, type Try } from './calls.ts';
import type { GatewayProcess } from './gateway-process.ts';
import type { JournalLine, SeenLine } from './journal.ts';
import { RestClient } from './rest-calls.ts';

/** What must be 0 is named; the rest is told. Findings are sentences about single calls, cut at some. */
export interface Tally {
  readonly calls: number;
  /** Operations promised: by a 202, or named in an error that says that they go on. */
  readonly acknowledged: number;
  /** Operations of which a worker saw a command. */
  readonly seen: number;
  /** Commands beyond the first of an operation: attempts and redeliveries. */
  readonly redelivered: number;
  /** Right results that reached a caller, at once or by the status of the operation. */
  readonly delivered: number;
  /** Calls that ended in an error which said so, or whose operation ended so for a reason that the run gives. */
  readonly failed: number;
  /** Calls without a key whose connection ended without an answer. */
  readonly resets: number;
  /** Requests without an answer in a time in which there must be one. */
  readonly silent: number;
  /** Calls that ended with `unknown`, and keyed ones whose patience ended. */
  readonly unknown: number;
  readonly lost: number;
  readonly stuck: number;
  readonly wrong: number;
  readonly misinformed: number;
  /** Operations that the run says may be unknown by now, and are. */
  readonly forgotten: number;
  /** Effects beyond the first of a call, behind marks in PostgreSQL; those of a forgotten operation are counted by themselves. */
  readonly doubled: number;
  /** The same behind marks in memory. */
  readonly doubledInMemory: number;
  readonly findings: readonly string[];
  /** Some of the requests without an answer. */
  readonly silences: readonly string[];
}

/** Made behind marks in PostgreSQL. */
export interface StoredEffect {
  readonly operationId: string;
  readonly call: string;
}

export interface TallyPlan {
  readonly calls: readonly Call[];
  readonly gateways: readonly GatewayProcess[];
  readonly journal: () => readonly JournalLine[];
  /** Each that stands in the database of the workers. */
  readonly storedEffects?: () => Promise<readonly StoredEffect[]>;
  /** How long after the faults the last operation may take. */
  readonly settleWithinMs: number;
  /** Ends other than success that the run itself brings about. */
  readonly mayEnd?: (document: StatusDocument, call: Call) => boolean;
  /** Calls may be told `failed` or `rejected`, where the run says so. */
  readonly mayFail?: (call: Call) => boolean;
  /** Operations whose rows the run itself destroys. */
  readonly mayBeUnknown?: (operationId: string) => boolean;
}

export interface StatusDocument {
  readonly id: string;
  readonly state: string;
  readonly done: boolean;
  readonly result?: { readonly call?: string } | null;
  readonly error?: { readonly code: string; readonly delivery: string; readonly detail: string };
}

const FOLLOWERS = 24;
const MAX_FINDINGS = 10;

export async function tally(plan: TallyPlan): Promise<Tally> {
  const count = new Count(plan);
  await count.follow();
  return count.finish((await plan.storedEffects?.()) ?? []);
}

class Count {
  readonly #plan: TallyPlan;
  readonly #rest = new RestClient();
  readonly #findings: string[] = [];
  readonly #documents = new Map<string, StatusDocument>();
  readonly #sums = { lost: 0, stuck: 0, wrong: 0, misinformed: 0, failed: 0, resets: 0, unknown: 0 };
  readonly #delivered = new Set<string>();
  readonly #forgotten = new Set<string>();

  constructor(plan: TallyPlan) {
    this.#plan = plan;
  }

  #find(kind: 'lost' | 'stuck' | 'wrong' | 'misinformed', call: Call, what: string): void {
    this.#sums[kind] += 1;
    if (this.#findings.length < MAX_FINDINGS) this.#findings.push(`${kind}: ${describe(call)}: ${what}`);
  }

  /** Each promised operation once, at a gateway that did not promise it. */
  async follow(): Promise<void> {
    const promises = new Map<string, { call: Call; gateway: number }>();
    for (const call of this.#plan.calls) {
      for (const { id, gateway } of listPromises(call)) promises.set(id, { call, gateway });
    }
    const endMs = performance.now() + this.#plan.settleWithinMs;
    const queue = [...promises];
    const work = async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        await this.#followOne(next[0], next[1].call, next[1].gateway, endMs);
      }
    };
    await Promise.all(Array.from({ length: FOLLOWERS }, work));
    this.#rest.close();
  }

  async #followOne(id: string, call: Call, promisedBy: number, endMs: number): Promise<void> {
    const { gateways } = this.#plan;
    let last = 'no answer';
    for (let turn = 1; ; turn++) {
      const gateway = gateways[(promisedBy + turn) % gateways.length]!;
      const outcome = await this.#rest.send({
        url: `${gateway.url}/operations/${id}`,
        method: 'GET',
        headers: { prefer: 'wait=5' },
        timeoutMs: 15_000,
      });
      if (outcome.kind === 'answered') {
        last = `${outcome.status} ${outcome.body?.state ?? outcome.body?.code}`;
        if (outcome.status === 404 || outcome.status === 410) return this.#judgeUnknown(id, call, last);
        if (outcome.status === 200 && outcome.body.done) {
          this.#judge(outcome.body, call);
          if (outcome.body.state !== 'succeeded') await this.#tellHistory(id, gateway);
          return;
        }
      } else last = outcome.kind;
      if (performance.now() > endMs) {
        this.#find('stuck', call, `${id} at ${gateway.name}: ${last}`);
        return this.#tellHistory(id, gateway);
      }
      if (outcome.kind !== 'answered' || outcome.status !== 200) await pause(250);
    }
  }

  #judgeUnknown(id: string, call: Call, last: string): void {
    if (this.#plan.mayBeUnknown?.(id)) this.#forgotten.add(id);
    else this.#find('lost', call, `${id}: ${last}`);
  }

  /** Behind the finding about it, if there is one. */
  async #tellHistory(id: string, { url }: GatewayProcess): Promise<void> {
    const last = this.#findings.at(-1);
    if (!last?.includes(id)) return;
    const outcome = await this.#rest.send({
      url: `${url}/operations/${id}/events`,
      method: 'GET',
      headers: {},
      timeoutMs: 5_000,
    });
    const history = outcome.kind === 'answered' ? JSON.stringify(outcome.body).slice(0, 1_500) : outcome.kind;
    this.#findings[this.#findings.indexOf(last)] = `${last}; history ${history}`;
  }

  #judge(document: StatusDocument, call: Call): void {
    this.#documents.set(document.id, document);
    if (document.state === 'succeeded') {
      if (document.result?.call === call.name) this.#delivered.add(call.name);
      else this.#find('wrong', call, `${document.id} has the result ${JSON.stringify(document.result)}`);
    } else if (this.#plan.mayEnd?.(document, call)) this.#sums.failed += 1;
    else this.#find('lost', call, `${document.id} ended ${document.state}: ${showError(document)}`);
  }

  finish(storedEffects: readonly StoredEffect[]): Tally {
    const names = new Set(this.#plan.calls.map(({ name }) => name));
    // Those that a run makes to warm up are not counted.
    const journal = this.#plan.journal().filter(({ call }) => names.has(call));
    const seen = journal.filter((line) => line.kind === 'seen');
    for (const call of this.#plan.calls) this.#judgeEnd(call);
    this.#judgeAnswers(seen);
    const effects = journal.filter((line) => line.kind === 'effect').map(({ call }) => call);
    const ids = new Set(seen.map(({ id }) => id));
    const promised = new Set(this.#plan.calls.flatMap((call) => listPromises(call).map(({ id }) => id)));
    return {
      calls: this.#plan.calls.length,
      acknowledged: promised.size,
      seen: ids.size,
      redelivered: seen.length - ids.size,
      delivered: this.#delivered.size,
      ...countSilent(this.#plan.calls),
      ...this.#sums,
      forgotten: this.#forgotten.size,
      doubled: countSurplus(storedEffects.filter(({ call }) => names.has(call)).map((each) => this.#nameEffect(each))),
      doubledInMemory: countSurplus(effects),
      findings: this.#findings,
    };
  }

  /** With an operation its key is forgotten: the next try of its call is another operation, and both may be carried out. */
  #nameEffect({ operationId, call }: StoredEffect): string {
    return this.#plan.mayBeUnknown?.(operationId) ? operationId : call;
  }

  #judgeEnd(call: Call): void {
    const result = call.tries.find(({ answer }) => answer.kind === 'result')?.answer;
    if (result?.kind === 'result') {
      if (result.call === call.name) this.#delivered.add(call.name);
      else this.#find('wrong', call, `was answered with the result of ${result.call}`);
    }
    // One that was certainly never sent sets its key free: the next try is another operation.
    const isFreed = (id: string) => this.#forgotten.has(id) || this.#documents.get(id)?.error?.delivery === 'not_sent';
    const ids = new Set(listPromises(call).flatMap(({ id }) => (isFreed(id) ? [] : [id])));
    if (call.key !== null && ids.size > 1) this.#find('wrong', call, `one key, ${ids.size} operations: ${[...ids]}`);
    if (call.ended === 'unknown' || call.ended === 'gave up') this.#sums.unknown += 1;
    if (call.ended === 'reset') this.#sums.resets += 1;
    if (call.ended === null) this.#find('stuck', call, 'never ended');
    if (call.ended !== 'failed' && call.ended !== 'rejected') return;
    if (this.#plan.mayFail?.(call)) this.#sums.failed += 1;
    else this.#find('wrong', call, `was refused: ${JSON.stringify(call.tries.at(-1)?.answer)}`);
  }

  /** `not_sent` speaks of the request that it answers, and of the operation that it names. */
  #judgeAnswers(seen: readonly SeenLine[]): void {
    const seenTries = new Set(seen.map((line) => line.try));
    const seenIds = new Set(seen.map(({ id }) => id));
    for (const call of this.#plan.calls) {
      for (const { name, answer } of call.tries) {
        if (answer.kind !== 'error' || answer.delivery !== 'not_sent') continue;
        const told = `${answer.status} ${answer.code} not_sent (${answer.detail})`;
        if (seenTries.has(name)) this.#find('misinformed', call, `${name} was told ${told}, and a worker saw it`);
        else if (answer.id !== null && seenIds.has(answer.id))
          this.#find('misinformed', call, `${answer.id} was told ${told}, and a worker saw it`);
      }
      for (const { id } of listPromises(call)) {
        const error = this.#documents.get(id)?.error;
        if (error?.delivery === 'not_sent' && seenIds.has(id))
          this.#find('misinformed', call, `${id} ended ${error.code} not_sent, and a worker saw it`);
      }
    }
  }
}

function showError({ error }: StatusDocument): string {
  return error ? `${error.code} ${error.delivery} (${error.detail})` : 'no error';
}

function countSilent(calls: readonly Call[]): Pick<Tally, 'silent' | 'silences'> {
  const silences = calls.flatMap((call) =>
    call.tries
      .filter(({ answer }) => answer.kind === 'silent')
      .map(({ name, gateway, tookMs, startedAtMs }) => {
        const at = new Date(startedAtMs).toISOString();
        return `no answer: ${name} (${call.method}, ${call.style}) from ${at} for ${Math.round(tookMs)} ms at gateway-${gateway}`;
      }),
  );
  return { silent: silences.length, silences: silences.slice(0, MAX_FINDINGS) };
}

export function countSurplus(names: readonly string[]): number {
  return names.length - new Set(names).size;
}

function describe({ name, method, style, key, tries }: Call): string {
  const told = tries.filter(({ answer }) => answer.kind !== 'refused').map(showTry);
  return `${name} (${method}, ${style}${key === null ? '' : ', keyed'}; ${told.join(', ')})`;
}

function showTry({ answer, gateway }: Try): string {
  const at = `@${gateway}`;
  if (answer.kind === 'error') return `${answer.status} ${answer.code} ${answer.delivery}${at}`;
  if (answer.kind === 'reset') return `reset ${answer.why}${at}`;
  return `${answer.kind}${at}`;
}
