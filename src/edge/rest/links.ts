/**
 * Where callers reach us: `PUBLIC_URL`, else what a trusted proxy says, else the address that the connection came in on.
 * Never the `Host` header: whoever sends it could make us hand out links to a machine of their own.
 */

import { BlockList, isIPv4, isIPv6 } from 'node:net';
import type { Incoming } from './incoming.ts';

export interface LinkOptions {
  /** What stands before a path as Sluice sees it: scheme, host, and a prefix that a proxy takes away. Null: not known. */
  readonly publicUrl: string | null;
  /** Before our own routes, as Sluice sees them: empty, or begins with a slash and does not end in one. */
  readonly basePath: string;
  /** Addresses or CIDR ranges. */
  readonly trustedProxies: readonly string[];
}

export interface OperationLinks {
  /** Absolute. */
  readonly self: string;
  /** Absolute. */
  readonly result: string;
  /** Absolute. */
  readonly events: string;
  /** Absolute. */
  readonly cancel: string;
  /** `self` without scheme and host. */
  readonly path: string;
}

interface Base {
  readonly origin: string;
  readonly prefix: string;
}

const HOST = /^(?:[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$/i;
const PREFIX = /^(?:\/[a-z0-9._~-]+)+\/?$/i;
const SCHEME = /^https?$/i;
const FORWARDED_PAIR = /([a-z]+)=("(?:[^"\\]|\\.)*"|[^;,\s"]*)/gi;

export class Links {
  readonly #public: Base | null;
  readonly #basePath: string;
  readonly #trusted: BlockList | null;

  /** @throws Error where `publicUrl` or a trusted proxy cannot be read. */
  constructor(options: LinkOptions) {
    this.#public = options.publicUrl === null ? null : readPublicUrl(options.publicUrl);
    this.#basePath = options.basePath;
    this.#trusted = options.trustedProxies.length === 0 ? null : readProxies(options.trustedProxies);
  }

  ofOperation(incoming: Incoming, id: string): OperationLinks {
    const { origin, prefix } = this.#public ??
      this.#forwarded(incoming) ?? { origin: incoming.localOrigin, prefix: '' };
    const path = `${prefix}${this.#basePath}/operations/${id}`;
    const self = `${origin}${path}`;
    return { self, result: `${self}/result`, events: `${self}/events`, cancel: `${self}:cancel`, path };
  }

  #forwarded(incoming: Incoming): Base | null {
    if (!this.#isTrusted(incoming.peerAddress)) return null;
    const prefix = incoming.header('x-forwarded-prefix')?.trim() ?? '';
    const origin = this.#standardOrigin(incoming) ?? this.#customaryOrigin(incoming);
    return origin === null ? null : { origin, prefix: PREFIX.test(prefix) ? prefix.replace(/\/$/, '') : '' };
  }

  /** RFC 7239: one element a proxy, the nearest last. */
  #standardOrigin(incoming: Incoming): string | null {
    const elements = splitList(incoming.header('forwarded')).map(parseForwarded);
    const hop = this.#furthestTrusted(elements.map((element) => element.get('for') ?? ''));
    const element = elements[hop];
    return element ? makeOrigin(element.get('proto'), element.get('host')) : null;
  }

  #customaryOrigin(incoming: Incoming): string | null {
    const hosts = splitList(incoming.header('x-forwarded-host'));
    const schemes = splitList(incoming.header('x-forwarded-proto'));
    const addresses = splitList(incoming.header('x-forwarded-for'));
    const fromEnd = Math.max(addresses.length - this.#furthestTrusted(addresses), 1);
    return makeOrigin(schemes.at(-Math.min(fromEnd, schemes.length)), hosts.at(-Math.min(fromEnd, hosts.length)));
  }

  /**
   * Each element was written by the proxy behind it, and says whom that proxy heard. So the last one is our peer's word;
   * the one before it counts only if the address in the last one is a trusted proxy too, and so on.
   */
  #furthestTrusted(addresses: readonly string[]): number {
    let hop = addresses.length - 1;
    while (hop > 0 && this.#isTrusted(bareAddress(addresses[hop] as string))) hop -= 1;
    return hop;
  }

  #isTrusted(address: string | null): boolean {
    if (this.#trusted === null || address === null) return false;
    const bare = address.replace(/^::ffff:(?=[0-9.]+$)/i, '');
    if (isIPv4(bare)) return this.#trusted.check(bare, 'ipv4');
    return isIPv6(bare) && this.#trusted.check(bare, 'ipv6');
  }
}

function readPublicUrl(text: string): Base {
  const url = new URL(text);
  return { origin: url.origin, prefix: url.pathname.replace(/\/+$/, '') };
}

function readProxies(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = '', bits] = range.split('/', 2);
    const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : null;
    if (family === null) throw new Error(`trusted proxy "${range}": expected an address or a CIDR range`);
    list.addSubnet(address, bits === undefined ? (family === 'ipv4' ? 32 : 128) : Number(bits), family);
  }
  return list;
}

function splitList(value: string | null): string[] {
  if (value === null) return [];
  return value.split(',').map((element) => element.trim());
}

function parseForwarded(element: string): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const [, name = '', value = ''] of element.matchAll(FORWARDED_PAIR)) {
    pairs.set(name.toLowerCase(), value.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value);
  }
  return pairs;
}

/** Without port and brackets: `192.0.2.1:80`, `[2001:db8::1]:80`. */
function bareAddress(node: string): string {
  if (node.startsWith('[')) return node.slice(1, Math.max(node.indexOf(']'), 1));
  return /^[0-9.]+:[0-9]+$/.test(node) ? node.slice(0, node.indexOf(':')) : node;
}

function makeOrigin(scheme = 'http', host = ''): string | null {
  return SCHEME.test(scheme) && HOST.test(host) ? `${scheme.toLowerCase()}://${host.toLowerCase()}` : null;
}
