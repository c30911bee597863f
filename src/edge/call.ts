import type { Command, ContractMessage } from '../contract/command.ts';
import type { WaitPreference } from '../operations/invocation.ts';
import type { HeaderText, Operation, Principal } from '../operations/operation.ts';
import type { ListRequest, OperationPage } from '../operations/resource/list.ts';
import type { RecordedEvent } from '../operations/store-ports.ts';

/** One call, read from REST or gRPC. Nothing past the edge knows which it was. */
export interface Call {
  /** Ours or the caller's `x-request-id`; in every log line and answer. */
  readonly requestId: string;
  readonly command: Command;
  readonly principal: Principal;
  /**
   * What the caller sends, decoded and validated as it is pulled, so that what needs no payload is decided before one is
   * read. A unary call is a stream of one. Throws `Failure` (`REQUEST_MALFORMED`, `REQUEST_INVALID`, `REQUEST_TOO_LARGE`).
   */
  readonly requests: AsyncIterable<ContractMessage>;
  readonly wait: WaitPreference;
  /** `Idempotency-Key`, unquoted, 1 to 255 characters; null where absent. */
  readonly idempotencyKey: string | null;
  /** A request header or metadata entry by lower-case name: for the policy's `forward_headers`. */
  header(name: string): string | null;
  /** W3C trace context: the caller's, else one made by the edge. */
  readonly traceparent: string;
  readonly tracestate: string | null;
  /** `sluice-hops` as it came; 0 where absent. */
  readonly hops: number;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
  /** Called once the operation is recorded, before any answer. */
  readonly onRecorded?: (operation: Operation) => void;
}

/**
 * What a caller gets. `messages`: the worker's answer, a stream of one for a unary call. `operation`: recorded and not
 * done, 202 over REST, `DEADLINE_EXCEEDED` with its name over gRPC. `noted`: a one-way command that the broker has.
 * Everything else is a thrown `Failure`.
 */
export type Answer =
  | {
      readonly kind: 'messages';
      /** 2xx for REST callers. */
      readonly httpStatus: number;
      /** Response headers of the worker that the policy lets through. */
      readonly headers: HeaderText;
      readonly trailers: HeaderText;
      readonly messages: AsyncIterable<ContractMessage>;
      /** Id where the operation is recorded, else null. */
      readonly operationId: string | null;
    }
  | { readonly kind: 'operation'; readonly operation: Operation }
  | { readonly kind: 'noted'; readonly operationId: string };

/** The way through the core, the same for every edge; `handle.ts`. */
export type Handle = (call: Call) => Promise<Answer>;

/** The status resource, as the edges see it; `operations/resource/resource.ts`. */
export interface OperationResource {
  /** Throws `Failure` `OPERATION_NOT_FOUND`, `OPERATION_GONE`, `STORE_UNAVAILABLE`. */
  get(id: string, principal: Principal): Promise<Operation>;
  /**
   * Waits until done, or where `unlessVersion` is given until the version differs from it; at `untilMs` (monotonic) or
   * when the caller goes away the newest snapshot. Throws as `get`.
   */
  wait(
    id: string,
    principal: Principal,
    options: { readonly untilMs: number; readonly signal: AbortSignal; readonly unlessVersion?: number },
  ): Promise<Operation>;
  /** Best effort: the operation as it stands after, cancelled, or with the result that won the race. Throws as `get`. */
  cancel(id: string, principal: Principal): Promise<Operation>;
  /** Sends the command again and renews its deadline. Throws as `get`, and `ADMIN_ONLY`, `OPERATION_DONE`. */
  redrive(id: string, principal: Principal): Promise<Operation>;
  /** At most 200 events numbered after `afterNumber`, oldest first. Throws as `get`. */
  readEvents(id: string, principal: Principal, afterNumber: number): Promise<readonly RecordedEvent[]>;
  /** Throws `Failure` `PAGE_TOKEN_INVALID`, `LIST_NOT_PERMITTED`, `REQUEST_INVALID` (page size, state), `STORE_UNAVAILABLE`. */
  list(principal: Principal, request: ListRequest): Promise<OperationPage>;
}
