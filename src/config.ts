/**
 * One file (SLUICE_CONFIG) and the environment over it, read once into one frozen, bounded Config. All that is wrong is
 * found before anything is said. What the settings mean stands in `config/schema.ts` and docs/configuration.md.
 */
import { deriveDefaults } from './config/derived.ts';
import { Draft } from './config/draft.ts';
import { CONFIG_FILE_VARIABLE, type Environment, readEnvironment } from './config/environment.ts';
import { readConfigFile } from './config/file.ts';
import { findBrokenRules } from './config/rules.ts';
import { type ConfigValues, configSchema } from './config/schema.ts';
import { type Setting, settings } from './config/tree.ts';

type Frozen<Value> = Value extends readonly (infer Item)[]
  ? readonly Frozen<Item>[]
  : Value extends object
    ? { readonly [Key in keyof Value]: Frozen<Value[Key]> }
    : Value;

type Overrides<Value> = Value extends readonly unknown[]
  ? Value
  : Value extends object
    ? { readonly [Key in keyof Value]?: Overrides<Value[Key]> }
    : Value;

/** All settings, defaults filled in; deeply frozen. Durations are in milliseconds, sizes in bytes. */
export type Config = Frozen<ConfigValues>;

export interface LoadedConfig {
  readonly config: Config;
  /** Things that are ignored, and probably not meant so. */
  readonly warnings: readonly string[];
}

/** Thrown by `loadConfig`; never empty. Each problem names the key or variable, what was found, what was expected. */
export class ConfigProblems extends Error {
  override readonly name = 'ConfigProblems';
  readonly problems: readonly string[];
  /** What could be read, defaults in the place of the rest: so that a check can go on and say what else is wrong. */
  readonly readable: Config;

  constructor(problems: readonly string[], readable: Config) {
    super(problems.join('\n'));
    this.problems = Object.freeze([...problems]);
    this.readable = readable;
  }
}

export interface LoadOptions {
  /** Default: that of the process. */
  readonly environment?: Environment;
  /** What relative paths of the environment are relative to. Default: the current folder. */
  readonly folder?: string;
  /** Contract sources where neither file nor environment names any. */
  readonly defaultSources?: readonly string[];
}

/** @throws ConfigProblems */
export function loadConfig(options: LoadOptions = {}): LoadedConfig {
  const environment = options.environment ?? process.env;
  const draft = new Draft();
  const file = environment[CONFIG_FILE_VARIABLE];
  if (file) readConfigFile(file, draft);
  readEnvironment(environment, options.folder ?? process.cwd(), draft);
  if (options.defaultSources) putDefaultSources(draft, options.defaultSources);
  const config = checkDraft(draft);
  return { config, warnings: Object.freeze(draft.warnings) };
}

function putDefaultSources(draft: Draft, sources: readonly string[]): void {
  const setting = settings.find((each) => each.key === 'contract.sources')!;
  if (draft.find(setting) === undefined) draft.put(setting, [...sources], setting.key);
}

/** Values that are wrong by themselves are taken out before the rules between settings are looked at. */
function checkDraft(draft: Draft): Config {
  const wrong = findWrongValues(draft);
  for (const setting of wrong) {
    draft.problems.push(
      `${draft.placeOf(setting)}: found ${showFound(setting, draft)}, expected ${setting.meta.expects}`,
    );
  }
  for (const setting of wrong) draft.remove(setting);
  const isSet = (key: string) => settings.some((setting) => setting.key === key && draft.find(setting) !== undefined);
  const values = deriveDefaults(configSchema.parse(draft.values), isSet);
  // Of a file that could not be read nothing is known, so nothing can be missing.
  const broken = draft.incomplete ? [] : findBrokenRules(values);
  for (const { keys, message } of broken) {
    if (wrong.some((setting) => keys.includes(setting.key))) continue;
    draft.problems.push(`${draft.placeOf(settings.find((each) => each.key === keys[0])!)}: ${message}`);
  }
  const config = freezeDeep(values);
  if (draft.problems.length > 0) throw new ConfigProblems(draft.problems, config);
  return config;
}

function findWrongValues(draft: Draft): Setting[] {
  const issues = configSchema.safeParse(draft.values).error?.issues ?? [];
  return settings.filter((setting) =>
    issues.some((issue) => setting.path.every((part, index) => issue.path[index] === part)),
  );
}

const MAX_SHOWN = 200;

function showFound(setting: Setting, draft: Draft): string {
  if (setting.meta.secret) return 'something else (not shown)';
  const shown = JSON.stringify(draft.find(setting)) ?? 'nothing';
  return shown.length > MAX_SHOWN ? `${shown.slice(0, MAX_SHOWN).toWellFormed()}…` : shown;
}

/** The defaults with some values in their place, for tests and for starters that know what they do. Nothing is checked. */
export function makeConfig(overrides: Overrides<Config> = {}): Config {
  return overrideConfig(configSchema.parse({}), overrides);
}

/** Another config with some values in the place of its own. Nothing is checked. */
export function overrideConfig(config: Config, overrides: Overrides<Config>): Config {
  return freezeDeep(merge(structuredClone(config), overrides) as Config);
}

function merge(base: unknown, over: unknown): unknown {
  if (over === undefined) return base;
  if (!isPlain(base) || !isPlain(over)) return structuredClone(over);
  for (const [key, value] of Object.entries(over)) base[key] = merge(base[key], value);
  return base;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function freezeDeep<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null) for (const child of Object.values(value)) freezeDeep(child);
  return Object.freeze(value);
}

/** Every setting by its key, secrets masked: for the log. */
export function describeConfig(config: Config): Record<string, unknown> {
  return Object.fromEntries(settings.map((setting) => [setting.key, maskValue(setting, readValue(config, setting))]));
}

function readValue(config: Config, setting: Setting): unknown {
  return setting.path.reduce<unknown>((at, property) => (at as Record<string, unknown>)[property], config);
}

function maskValue({ meta }: Setting, value: unknown): unknown {
  if (meta.secret === undefined || typeof value !== 'string') return value;
  return meta.secret === 'url' ? maskUrl(value) : '***';
}

/** Passwords stand before the @ or, as libpq allows, in the query. */
function maskUrl(value: string): string {
  if (!URL.canParse(value)) return '***';
  const url = new URL(value);
  if (url.password) url.password = '***';
  for (const name of url.searchParams.keys()) if (/password|secret|key/i.test(name)) url.searchParams.set(name, '***');
  return url.href;
}
