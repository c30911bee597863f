// One REST request of a fault run, with what became of it told apart: refused, reset, silent, or answered.
import { Agent, type IncomingMessage, request } from 'node:http';
import type { Answer, Delivery } from './calls.ts';

export interface RestRequest {
  readonly url: string;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs: number;
}

export type RestOutcome =
  // biome-ignore lint/suspicious/noExplicitAny: what a body holds is what its reader looks at.
  | { readonly kind: 'answered'; readonly status: number; readonly body: any }
  | { readonly kind: 'refused' }
  | { readonly kind: 'silent' }
  | { readonly kind: 'reset'; readonly why: string };

/** Connections are kept and used again, as callers do. */
export class RestClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 256 });

  send({ url, method, headers, body, timeoutMs }: RestRequest): Promise<RestOutcome> {
    return new Promise((resolve) => {
      const options = { method, agent: this.#agent, headers: { ...headers } as Record<string, string> };
      if (body !== undefined) {
        options.headers['content-type'] = 'application/json';
        options.headers['content-length'] = String(Buffer.byteLength(body));
      }
      const sent = request(url, options, (response) => {
        readBody(response).then((answered) => finish(answered), fail);
      });
      const finish = (outcome: RestOutcome) => {
        clearTimeout(timer);
        resolve(outcome);
      };
      const fail = (error: NodeJS.ErrnoException) => {
        const why = error.code ?? error.message;
        finish(why === 'ECONNREFUSED' ? { kind: 'refused' } : { kind: 'reset', why });
      };
      const timer = setTimeout(() => {
        finish({ kind: 'silent' });
        sent.destroy();
      }, timeoutMs);
      sent.on('error', fail);
      sent.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

async function readBody(response: IncomingMessage): Promise<RestOutcome> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return { kind: 'answered', status: response.statusCode ?? 0, body: text === '' ? null : JSON.parse(text) };
}

/** What an answer to a command says. */
export function readAnswer(outcome: RestOutcome): Answer {
  if (outcome.kind === 'refused') return { kind: 'refused' };
  if (outcome.kind === 'silent') return { kind: 'silent', id: null };
  if (outcome.kind === 'reset') return { kind: 'reset', why: outcome.why, id: null };
  const { status, body } = outcome;
  if (status === 200) return { kind: 'result', call: String(body?.call) };
  if (status === 202) return { kind: 'acknowledged', id: String(body?.id) };
  return {
    kind: 'error',
    status: String(status),
    code: String(body?.code),
    delivery: (body?.delivery ?? null) as Delivery | null,
    id: body?.operation?.id ?? null,
    detail: String(body?.detail ?? ''),
  };
}
