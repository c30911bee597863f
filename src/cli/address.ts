/** An address that callers on this machine can use, also where all addresses are bound. */
export function addressOf(host: string, port: number): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

export function urlOf(host: string, port: number): string {
  return `http://${addressOf(host, port)}`;
}
