import { expect, test } from 'vitest';
import type { Incoming } from '../../src/edge/rest/incoming.ts';
import { type LinkOptions, Links } from '../../src/edge/rest/links.ts';

const PROXY = '10.0.0.1';

function linkOf(headers: Record<string, string>, options: Partial<LinkOptions> = {}, peerAddress = PROXY): string {
  const links = new Links({ publicUrl: null, basePath: '', trustedProxies: ['10.0.0.0/8', 'fd00::/8'], ...options });
  const incoming = {
    peerAddress,
    localOrigin: 'http://127.0.0.1:8080',
    header: (name: string) => headers[name] ?? null,
  } as Partial<Incoming> as Incoming;
  return links.ofOperation(incoming, 'x').self;
}

const OWN = 'http://127.0.0.1:8080/operations/x';

test('PUBLIC_URL wins over all', () => {
  const headers = { host: 'evil.example', 'x-forwarded-host': 'proxy.example' };
  expect(linkOf(headers, { publicUrl: 'https://api.example/shop/' })).toBe('https://api.example/shop/operations/x');
});

test.each([
  [{ host: 'evil.example' }],
  [{ 'x-forwarded-host': 'evil.example' }],
  [{ forwarded: 'host=evil.example;proto=https' }],
])('what an untrusted peer says of hosts never makes a link: %o', (headers) => {
  expect(linkOf(headers, {}, '203.0.113.9')).toBe(OWN);
  expect(linkOf(headers, { trustedProxies: [] })).toBe(OWN);
});

test.each([
  [{ forwarded: 'for=203.0.113.9;host=api.example;proto=https' }, 'https://api.example'],
  [{ forwarded: 'For="[2001:db8::1]:4711"; Proto=HTTPS; Host="api.example:8443"' }, 'https://api.example:8443'],
  [{ 'x-forwarded-host': 'api.example', 'x-forwarded-proto': 'https' }, 'https://api.example'],
  [{ 'x-forwarded-host': 'api.example' }, 'http://api.example'],
  [{ 'x-forwarded-host': 'api.example', 'x-forwarded-prefix': '/shop/' }, 'http://api.example/shop'],
  [{ 'x-forwarded-host': '[2001:db8::1]:80' }, 'http://[2001:db8::1]:80'],
])('a trusted proxy is believed: %o', (headers, base) => {
  expect(linkOf(headers)).toBe(`${base}/operations/x`);
  expect(linkOf(headers, {}, '::ffff:10.1.2.3')).toBe(`${base}/operations/x`);
  expect(linkOf(headers, {}, 'fd00::1')).toBe(`${base}/operations/x`);
});

test.each([
  [{ 'x-forwarded-host': 'evil.example/path' }],
  [{ 'x-forwarded-host': 'a b' }],
  [{ 'x-forwarded-host': 'api.example', 'x-forwarded-proto': 'javascript' }],
  [{ forwarded: 'host="evil.example/"' }],
])('what is no host or scheme is passed over: %o', (headers) => {
  expect(linkOf(headers)).toBe(OWN);
});

test('what a caller put in front of a trusted proxy does not count', () => {
  expect(linkOf({ forwarded: 'host=evil.example, for=203.0.113.9;host=api.example' })).toBe(
    'http://api.example/operations/x',
  );
  const customary = { 'x-forwarded-for': '1.2.3.4, 203.0.113.9', 'x-forwarded-host': 'evil.example, api.example' };
  expect(linkOf(customary)).toBe('http://api.example/operations/x');
});

test('of a chain of trusted proxies the outermost counts', () => {
  const standard = 'for=203.0.113.9;host=api.example;proto=https, for=10.0.0.2;host=inner';
  expect(linkOf({ forwarded: standard })).toBe('https://api.example/operations/x');
  const customary = { 'x-forwarded-for': '203.0.113.9, 10.0.0.2', 'x-forwarded-host': 'api.example, inner' };
  expect(linkOf(customary)).toBe('http://api.example/operations/x');
});

test('a trusted proxy that is no address is refused at start', () => {
  expect(() => linkOf({}, { trustedProxies: ['proxy.example'] })).toThrow('expected an address or a CIDR range');
});
