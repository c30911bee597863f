// An EventSource on the history of an operation, with what it saw; its connections can be cut and led elsewhere.
import { EventSource } from 'eventsource';
import { OPERATION_EVENT_TYPES } from '../../../src/operations/transitions.ts';

const TYPES = [...OPERATION_EVENT_TYPES, 'gap', 'end'];

export interface FollowedEvent {
  readonly id: string;
  readonly type: string;
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what a test looks at.
  readonly data: any;
}

export class FollowedHistory {
  readonly seen: FollowedEvent[] = [];
  /** What each connection was answered with. */
  readonly statuses: number[] = [];
  readonly #source: EventSource;
  #cut = new AbortController();

  /**
   * @param gateways base URLs: each connection goes to the next of them, then to the last
   * @param lastEventId what the first connection says that it has
   */
  constructor(gateways: readonly string[], path: string, lastEventId?: string) {
    this.#source = new EventSource(new URL(path, gateways[0]), {
      fetch: async (_url, init) => {
        const count = this.statuses.length;
        const headers = count === 0 && lastEventId ? { ...init.headers, 'Last-Event-ID': lastEventId } : init.headers;
        const signal = AbortSignal.any([this.#cut.signal, ...(init.signal ? [init.signal as AbortSignal] : [])]);
        const url = new URL(path, gateways[Math.min(count, gateways.length - 1)]);
        const response = await fetch(url, { ...init, headers, signal });
        this.statuses.push(response.status);
        return response;
      },
    });
    for (const type of TYPES) {
      this.#source.addEventListener(type, ({ lastEventId: id, data }) => {
        this.seen.push({ id, type, data: JSON.parse(data) });
      });
    }
  }

  /** `3 progressed`, in the order of arrival. */
  get names(): readonly string[] {
    return this.seen.map(({ id, type }) => `${id} ${type}`);
  }

  get types(): readonly string[] {
    return this.seen.map(({ type }) => type);
  }

  /** It was told that there is no more. */
  get isOver(): boolean {
    return this.#source.readyState === this.#source.CLOSED;
  }

  /** As a proxy that dies: the client comes back by itself. */
  cutConnection(): void {
    const cut = this.#cut;
    this.#cut = new AbortController();
    cut.abort(new TypeError('the connection was cut'));
  }

  close(): void {
    this.#source.close();
  }
}
