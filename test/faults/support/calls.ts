// The calls of a run with everything that was said about each of them: what the tally goes by.

export type CallStyle = 'plain' | 'wait' | 'async' | 'grpc';
export type Delivery = 'not_sent' | 'unknown' | 'failed';

/** What one request of a caller ended as. */
export type Answer =
  | { readonly kind: 'result'; readonly call: string }
  /** A promise: 202, or a gRPC deadline that names its operation. */
  | { readonly kind: 'acknowledged'; readonly id: string }
  | {
      readonly kind: 'error';
      readonly status: string;
      readonly code: string;
      readonly delivery: Delivery | null;
      readonly id: string | null;
      readonly detail: string;
    }
  /** No connection could be had: nothing was said, and nothing was sent. */
  | { readonly kind: 'refused' }
  /** The connection ended without an answer. */
  | { readonly kind: 'reset'; readonly why: string; readonly id: string | null }
  /** No answer in a time in which there must be one. */
  | { readonly kind: 'silent'; readonly id: string | null };

export interface Try {
  /** `x-try`: the worker sees which of a call's requests made the command. */
  readonly name: string;
  readonly gateway: number;
  readonly answer: Answer;
  readonly startedAtMs: number;
  readonly tookMs: number;
}

/** The result, or a promise of it. */
export function isServed({ kind }: Answer): boolean {
  return kind === 'result' || kind === 'acknowledged';
}

/** One thing that a caller wants done, however often it has to ask. */
export interface Call {
  /** In the payload of request and reply. */
  readonly name: string;
  readonly style: CallStyle;
  readonly method: string;
  /** Idempotency-Key of all its tries. */
  readonly key: string | null;
  readonly tries: Try[];
  /** Null while it goes on. */
  ended: 'result' | 'acknowledged' | 'failed' | 'rejected' | 'unknown' | 'reset' | 'gave up' | null;
}

/** Operations that a caller was told of, with the gateway that told it. */
export function listPromises(call: Call): { readonly id: string; readonly gateway: number; readonly firm: boolean }[] {
  return call.tries.flatMap(({ answer, gateway }) => {
    if (answer.kind === 'acknowledged') return [{ id: answer.id, gateway, firm: true }];
    if (answer.kind === 'error' && answer.id !== null) return [{ id: answer.id, gateway, firm: true }];
    // Announced in gRPC's initial metadata, once the operation was recorded.
    if ((answer.kind === 'reset' || answer.kind === 'silent') && answer.id !== null)
      return [{ id: answer.id, gateway, firm: true }];
    return [];
  });
}
