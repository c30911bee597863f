/** What a person sees at start: where it listens, what it serves, and lines to try that work as they stand. */
import type { Config } from '../config.ts';
import type { Command } from '../contract/command.ts';
import type { Contract } from '../contract/contract.ts';
import type { HttpBinding } from '../contract/http-rule.ts';
import { sampleRequest } from '../contract/sample.ts';
import { addressOf, urlOf } from './address.ts';

export interface Served {
  readonly config: Config;
  readonly contract: Contract;
  /** As they were bound. */
  readonly ports: { readonly http: number; readonly grpc: number; readonly management: number };
}

export function renderBanner(served: Served): string {
  const { config, contract, ports } = served;
  const routes = contract.routes.routes.length;
  const lines = [
    '',
    `  Sluice serves ${contract.commands.size} commands of ${contract.services.map((service) => service.name).join(', ')}`,
    '',
    `    REST        ${urlOf(config.http.host, ports.http)}   ${routes} routes, ${config.http.basePath}/openapi.json`,
    `    gRPC        ${addressOf(config.grpc.host, ports.grpc)}          with reflection`,
    `    management  ${urlOf(config.management.host, ports.management)}   /health/live /health/ready /metrics`,
    `    channel     ${config.kafka.brokers.length > 0 ? `Kafka at ${config.kafka.brokers.join(', ')}` : 'in this process (no KAFKA_BROKERS)'}`,
    `    store       ${config.store.databaseUrl === null ? `PGlite in ${config.store.dataDir} (no DATABASE_URL)` : 'PostgreSQL'}`,
  ];
  const toTry = renderLinesToTry(served);
  if (toTry.length > 0) lines.push('', '  Try:', '', ...toTry.map((line) => `    ${line}`));
  return `${lines.join('\n')}\n\n`;
}

/** At most three: a call, the same asynchronously, and its gRPC twin. None for a contract without a unary command. */
export function renderLinesToTry({ config, contract, ports }: Served): string[] {
  const command = chooseCommand(contract);
  if (!command) return [];
  const binding = command.bindings[0];
  const grpc = `npx buf curl --http2-prior-knowledge --protocol grpc -d ${quote(JSON.stringify(sampleRequest(command)))} ${urlOf(config.grpc.host, ports.grpc)}/${command.name}`;
  if (!binding) return [grpc];
  const base = urlOf(config.http.host, ports.http);
  return [renderCurl(command, binding, base, []), renderCurl(command, binding, base, ['Prefer: respond-async']), grpc];
}

/** The first that takes a body shows most; else the first with a route; else the first. */
function chooseCommand(contract: Contract): Command | undefined {
  const unary = [...contract.commands.values()].filter((command) => command.kind === 'unary');
  return (
    unary.find((command) => command.bindings[0]?.body === '*') ??
    unary.find((command) => command.bindings.length > 0) ??
    unary[0]
  );
}

function renderCurl(command: Command, binding: HttpBinding, base: string, headers: readonly string[]): string {
  const method = binding.httpMethod === '*' ? 'POST' : binding.httpMethod;
  const { path, body } = sampleHttpRequest(command, binding);
  const parts = ['curl -i', ...(method === 'GET' ? [] : [`-X ${method}`])];
  const all = [...headers, ...(body === null ? [] : ['Content-Type: application/json'])];
  parts.push(...all.map((header) => `-H ${quote(header)}`));
  if (body !== null) parts.push(`-d ${quote(body)}`);
  return [...parts, quoteWhereNeeded(`${base}${path}`)].join(' ');
}

function sampleHttpRequest(command: Command, { template, body }: HttpBinding): { path: string; body: string | null } {
  const request = sampleRequest(command);
  const path = template.text.replace(/\{([^}=]+)(?:=([^}]*))?\}/g, (_, name: string, pattern?: string) =>
    pattern === undefined ? '1' : pattern.replaceAll('**', '1').replaceAll('*', '1') || name,
  );
  if (body === null) return { path: path.replaceAll('*', '1'), body: null };
  const value = body === '*' ? request : (request[body.jsonName] ?? {});
  return { path: path.replaceAll('*', '1'), body: JSON.stringify(value) };
}

/** For a POSIX shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function quoteWhereNeeded(text: string): string {
  return /^[A-Za-z0-9_.:/~-]*$/.test(text) ? text : quote(text);
}
