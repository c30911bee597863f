import { isIP } from 'node:net';

/** Whether only this machine can reach the address. A name other than `localhost` is not looked up: it counts as wide. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
