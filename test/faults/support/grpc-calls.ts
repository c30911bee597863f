// The same calls over gRPC: a client a gateway, which connects again by itself.
import { Client, credentials } from '@grpc/grpc-js';
import { type GrpcAnswer, GrpcCaller } from '../../support/grpc-caller.ts';
import type { Answer, Delivery } from './calls.ts';
import { CONTRACT_BEFORE } from './cluster.ts';

const RECONNECT = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // A client that repeats calls by itself would hide what became of them.
  'grpc.enable_retries': 0,
};

export class GrpcClients {
  readonly #clients = new Map<number, { client: Client; caller: GrpcCaller }>();

  async send(
    port: number,
    method: string,
    request: object,
    options: { readonly metadata: Record<string, string>; readonly timeoutMs: number },
  ): Promise<Answer> {
    return readAnswer(await this.#callerOf(port).call(`faults.v1.Work/${method}`, request, options));
  }

  #callerOf(port: number): GrpcCaller {
    let known = this.#clients.get(port);
    if (known === undefined) {
      const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), RECONNECT);
      known = { client, caller: new GrpcCaller(client, [CONTRACT_BEFORE]) };
      this.#clients.set(port, known);
    }
    return known.caller;
  }

  close(): void {
    for (const { client } of this.#clients.values()) client.close();
  }
}

function readAnswer(answer: GrpcAnswer): Answer {
  if (answer.code === 'OK') return { kind: 'result', call: String(answer.value.call) };
  const named = answer.operation ?? answer.announced;
  const id = named === null ? null : named.replace('operations/', '');
  const info = answer.details?.info ?? null;
  if (info === null) return readTransportError(answer, id);
  if (answer.code === 'DEADLINE_EXCEEDED' && id !== null) return { kind: 'acknowledged', id };
  const delivery = (info.metadata['delivery'] ?? null) as Delivery | null;
  return { kind: 'error', status: answer.code, code: info.reason, delivery, id, detail: answer.message };
}

/** The client's own words: there is no other sign by which to tell what it did not send. */
function readTransportError({ code, message }: GrpcAnswer, id: string | null): Answer {
  if (code === 'DEADLINE_EXCEEDED') return { kind: 'silent', id };
  // grpc-js's own answer for a method that is not there: it has no details.
  if (code === 'UNIMPLEMENTED') return { kind: 'error', status: code, code, delivery: 'not_sent', id, detail: message };
  if (/No connection established|ECONNREFUSED/.test(message)) return { kind: 'refused' };
  return { kind: 'reset', why: `${code}: ${message}`, id };
}
