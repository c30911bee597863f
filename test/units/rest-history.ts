import type { Operation } from '../../src/operations/operation.ts';
import type { OperationEvent, RecordedEvent } from '../../src/operations/store-ports.ts';
import type { Failure } from '../../src/runtime/failure.ts';
import { ID, operation, type Rig } from './rest-support.ts';

const AT_MS = Date.UTC(2026, 0, 1);
const PAGE_SIZE = 200;

export function eventOf(more: Partial<OperationEvent> = {}): OperationEvent {
  return {
    type: 'progressed',
    atMs: AT_MS,
    position: null,
    progress: null,
    result: null,
    error: null,
    published: null,
    by: null,
    afterAttempt: null,
    deadlineMs: null,
    ...more,
  };
}

/** One operation whose history grows; wakes whoever waits for it, as the store and the waiters do. */
export class LiveHistory {
  readonly events: RecordedEvent[] = [];
  /** Counts of what was asked. */
  reads = 0;
  /** Waits that go on. */
  waiting = 0;
  /** What the next question is answered with instead. */
  trouble: Failure | null = null;
  #operation: Operation = operation({ version: 0, state: 'accepted', progress: null });
  readonly #wakers = new Set<() => void>();

  append(event: Partial<OperationEvent>, change: Partial<Operation> = {}, late = false): this {
    const version = this.#operation.version + 1;
    this.events.push({ number: version, event: eventOf(event), late });
    this.#operation = { ...this.#operation, ...change, version };
    for (const wake of [...this.#wakers]) wake();
    return this;
  }

  progress(percent: number): this {
    return this.append({ progress: { percent, message: null } }, { state: 'running' });
  }

  succeed(): this {
    return this.append({ type: 'succeeded' }, { state: 'succeeded' });
  }

  /** The database was set back: it knows the first so many events only. */
  forgetAfter(number: number): void {
    this.events.splice(number);
    this.#operation = { ...this.#operation, version: number };
    for (const wake of [...this.#wakers]) wake();
  }

  serve(rig: Rig): this {
    rig.operations.get = (id) => (id === ID ? this.#answer() : undefined);
    rig.readEvents = async (_id, _principal, after) => {
      this.reads += 1;
      this.#answer();
      return this.events.filter(({ number }) => number > after).slice(0, PAGE_SIZE);
    };
    rig.wait = async (_id, _principal, { unlessVersion, untilMs, signal }) => {
      this.#answer();
      if (this.#operation.version !== unlessVersion) return this.#operation;
      const { promise, resolve } = Promise.withResolvers<void>();
      const cancel = rig.clock.setTimer(resolve, untilMs - rig.clock.monotonicMs());
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (signal.aborted) resolve();
      this.#wakers.add(resolve);
      this.waiting += 1;
      await promise;
      this.waiting -= 1;
      this.#wakers.delete(resolve);
      cancel();
      return this.#answer();
    };
    return this;
  }

  #answer(): Operation {
    const { trouble } = this;
    this.trouble = null;
    if (trouble) throw trouble;
    return this.#operation;
  }
}

export interface SentEvent {
  readonly id: string | undefined;
  readonly type: string | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the event says.
  readonly data: any;
}

/** The text of a stream of events as the HTML specification reads it, comments as events of type `comment`. */
export function parseEvents(text: string): SentEvent[] {
  return text
    .split('\n\n')
    .filter((block) => block !== '' && !block.startsWith('retry:'))
    .map((block) => {
      if (block.startsWith(':')) return { id: undefined, type: 'comment', data: null };
      const fields = new Map(block.split('\n').map((line) => line.split(/: (.*)/s, 2) as [string, string]));
      return { id: fields.get('id'), type: fields.get('event'), data: JSON.parse(fields.get('data') ?? 'null') };
    });
}

/** Reads on in the background; `text` is what has come. */
export class StreamReader {
  text = '';
  done = false;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly ended: Promise<void>;

  constructor(response: Response) {
    if (!response.body) throw new Error(`no body: ${response.status}`);
    this.#reader = response.body.getReader();
    this.ended = this.#read();
  }

  get events(): SentEvent[] {
    return parseEvents(this.text);
  }

  get types(): (string | undefined)[] {
    return this.events.map(({ type }) => type);
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for (let next = await this.#reader.read(); !next.done; next = await this.#reader.read()) {
        this.text += decoder.decode(next.value, { stream: true });
      }
    } catch {
      // Cut off.
    }
    this.done = true;
  }
}
