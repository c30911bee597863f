/** Environment variables over the file. An empty variable counts as absent. */
import { editDistance, nearestName } from '../contract/nearest.ts';
import { type Draft, resolvePaths } from './draft.ts';
import { type Setting, settings } from './tree.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Names the YAML file; read before all others. */
export const CONFIG_FILE_VARIABLE = 'SLUICE_CONFIG';

/** What begins so is meant for Sluice, and a name that it does not know is worth a warning. */
const OWN_PREFIX = /^(?:SLUICE|HTTP|GRPC|KAFKA|MANAGEMENT|OPERATIONS|LEASES|DRAIN)_/;

/** Variables of others that begin like ours: proxies, grpc-js, this project's tests, Kubernetes service links. */
const FOREIGN =
  /^(?:HTTP_PROXY|GRPC_(?:VERBOSITY|TRACE|PROXY|NODE_.*|EXPERIMENTAL_.*|SSL_.*|DEFAULT_SSL_.*|DNS_.*)|SLUICE_(?:REQUIRE_REAL|KAFKA_LIB|TEST_.*|BENCH_.*)|[A-Z0-9_]+_SERVICE_(?:HOST|PORT.*)|[A-Z0-9_]+_PORT_[0-9]+_.*)$/;

export function readEnvironment(environment: Environment, folder: string, draft: Draft): void {
  for (const setting of settings) {
    const found = setting.env === null ? undefined : environment[setting.env];
    if (found === undefined || found === '') continue;
    draft.put(setting, resolvePaths(setting, splitList(setting, found), folder), setting.env!);
  }
  draft.warnings.push(...findUnknownVariables(environment));
}

function splitList(setting: Setting, found: string): unknown {
  if (setting.meta.kind !== 'list' && setting.meta.kind !== 'paths') return found;
  const items = found.split(',').map((item) => item.trim());
  return items.filter((item) => item !== '');
}

function findUnknownVariables(environment: Environment): string[] {
  const known = [CONFIG_FILE_VARIABLE, ...settings.flatMap((setting) => setting.env ?? [])];
  return Object.keys(environment)
    .filter((name) => OWN_PREFIX.test(name) && !FOREIGN.test(name) && !known.includes(name))
    .sort()
    .map((name) => `${name}: no such variable${suggestVariable(name, known)}; it is ignored`);
}

/** Only a name that differs by little: a far one would mislead. */
function suggestVariable(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  return nearest !== null && editDistance(name, nearest) <= name.length / 3 ? ` (did you mean ${nearest}?)` : '';
}
