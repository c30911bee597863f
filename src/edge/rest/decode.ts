/** A request on a command's route as a `Call`. */

import type { Command, ContractMessage, JsonValue } from '../../contract/command.ts';
import type { RouteMatch } from '../../contract/routes.ts';
import { assembleRequest, parseJsonBody } from '../../contract/transcode.ts';
import type { WaitPreference } from '../../operations/invocation.ts';
import type { Principal } from '../../operations/operation.ts';
import { ANONYMOUS } from '../../operations/operation.ts';
import { Failure } from '../../runtime/failure.ts';
import type { Call } from '../call.ts';
import { OnlyRequest, readHops, refuseUnkeptPromises } from '../call-head.ts';
import { IDEMPOTENCY_KEY, readIdempotencyKey } from '../idempotency-key.ts';
import type { Exchange } from './exchange.ts';
import type { Incoming } from './incoming.ts';
import { requireJsonBody } from './negotiate.ts';
import type { Preferences } from './prefer.ts';

export type Matched = RouteMatch & { readonly kind: 'match' };

const BY_DEFAULT: WaitPreference = Object.freeze({ kind: 'default' });
const NONE: WaitPreference = Object.freeze({ kind: 'none' });

/**
 * What needs no body is refused here, before any byte of it is read.
 * @throws Failure FEATURE_UNSUPPORTED, HEADER_INVALID, MEDIA_TYPE_UNSUPPORTED, REQUEST_INVALID.
 */
export function readCall(exchange: Exchange, matched: Matched, preferences: Preferences, maxBodyBytes: number): Call {
  const { incoming } = exchange;
  refuseUnkeptPromises((name) => incoming.header(name));
  if (incoming.hasBody && matched.binding.body !== null) requireJsonBody(incoming);
  return new RestCall(exchange, matched, preferences, maxBodyBytes);
}

class RestCall implements Call {
  readonly requestId: string;
  readonly command: Command;
  readonly principal: Principal = ANONYMOUS;
  readonly requests: AsyncIterable<ContractMessage>;
  readonly wait: WaitPreference;
  readonly idempotencyKey: string | null;
  readonly traceparent: string;
  readonly tracestate: string | null;
  readonly hops: number;
  readonly #incoming: Incoming;

  constructor(exchange: Exchange, matched: Matched, preferences: Preferences, maxBodyBytes: number) {
    this.requestId = exchange.requestId;
    this.command = matched.command;
    this.requests = new OnlyRequest(() => readRequest(exchange.incoming, matched, maxBodyBytes));
    this.wait = toWait(matched.command, preferences);
    this.idempotencyKey = readKey(exchange.incoming);
    this.traceparent = exchange.trace.traceparent;
    this.tracestate = exchange.trace.tracestate;
    this.hops = readHops(exchange.incoming.header('sluice-hops'));
    this.#incoming = exchange.incoming;
  }

  /** Made on first use. */
  get signal(): AbortSignal {
    return this.#incoming.signal;
  }

  header(name: string): string | null {
    const value = this.#incoming.header(name);
    return value === null ? null : decodeHeader(value);
  }
}

function readKey(incoming: Incoming): string | null {
  const text = incoming.header(IDEMPOTENCY_KEY);
  return text === null ? null : readIdempotencyKey(text, incoming.isRepeated(IDEMPOTENCY_KEY));
}

async function readRequest(incoming: Incoming, matched: Matched, maxBodyBytes: number): Promise<ContractMessage> {
  const { command, binding, variables } = matched;
  const body = incoming.hasBody ? await readBody(incoming, matched, maxBodyBytes) : undefined;
  const message = assembleRequest(command, binding, variables, incoming.query, body);
  command.codec.validateRequest(message, binding);
  return message;
}

/** A body of no bytes is no body. */
async function readBody(
  incoming: Incoming,
  { command, binding }: Matched,
  maxBodyBytes: number,
): Promise<JsonValue | undefined> {
  const bytes = await incoming.readBody(maxBodyBytes);
  if (bytes.length === 0) return undefined;
  if (binding.body !== null) return parseJsonBody(bytes);
  throw new Failure('REQUEST_INVALID', `${command.name} takes no body on this path`, {
    violations: [{ pointer: '#', detail: 'is not taken, expected no body' }],
  });
}

/** A day: above every `max_wait` that makes sense, and a number that can be counted with. */
const MAX_WAIT_SECONDS = 86_400;

/** A command that fails at the end of its wait is never answered before it: there `respond-async` means nothing. */
function toWait(command: Command, preferences: Preferences): WaitPreference {
  const { waitSeconds } = preferences;
  if (waitSeconds !== null) return { kind: 'for', waitMs: Math.min(waitSeconds, MAX_WAIT_SECONDS) * 1000 };
  return preferences.respondAsync && command.policy.onTimeout === 'ACCEPT' ? NONE : BY_DEFAULT;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: all but ASCII is what is looked for.
const NOT_ASCII = /[^\u0000-\u007f]/;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** HTTP gives bytes, Node one character a byte. Most senders mean UTF-8; what is none is left as ISO 8859-1. */
function decodeHeader(value: string): string {
  if (!NOT_ASCII.test(value)) return value;
  try {
    return utf8.decode(Buffer.from(value, 'latin1'));
  } catch {
    return value;
  }
}
