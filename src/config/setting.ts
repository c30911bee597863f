/**
 * The kinds of settings: each a zod schema that reads both what YAML gives and the text of an environment variable,
 * with what people need to know of it kept beside it for error messages and docs/configuration.md.
 */
import { z } from 'zod';
import { formatDuration, parseDurationMs } from '../contract/durations.ts';
import { formatBytes, parseBytes } from './sizes.ts';

export interface SettingMeta {
  /** A list is text with commas between its items in the environment. */
  readonly kind: 'text' | 'integer' | 'duration' | 'bytes' | 'switch' | 'choice' | 'list' | 'path' | 'paths' | 'raw';
  /** One sentence for people. */
  readonly doc: string;
  /** What is taken, for `found …, expected …`. */
  readonly expects: string;
  /** As it would be written in the file. */
  readonly defaultText: string;
  /** Name of the environment variable where it is not the key in capitals; null: the file only. */
  readonly env?: string | null;
  /** Never shown: the whole value, or the password in a URL. */
  readonly secret?: 'whole' | 'url';
}

type Extras = Pick<SettingMeta, 'env' | 'secret'>;

export const settingMetas = z.registry<SettingMeta>();

function describe<Schema extends z.ZodType>(schema: Schema, meta: SettingMeta): Schema {
  settingMetas.add(schema, meta as never);
  return schema;
}

/** A whole number. */
export function integer(byDefault: number, bounds: readonly [number, number], doc: string, extras: Extras = {}) {
  const schema = z.preprocess(readInteger, z.int().min(bounds[0]).max(bounds[1])).default(byDefault);
  const expects = `a whole number from ${bounds[0]} to ${bounds[1]}`;
  return describe(schema, { kind: 'integer', doc, expects, defaultText: String(byDefault), ...extras });
}

/** Milliseconds, from text with a unit. A bare number is refused, 0 apart: nobody can tell what unit was meant. */
export function duration(byDefault: string, bounds: readonly [string, string], doc: string, extras: Extras = {}) {
  const [minMs, maxMs] = bounds.map(durationMs) as [number, number];
  const schema = z.preprocess(readDuration, z.int().min(minMs).max(maxMs)).default(durationMs(byDefault));
  const expects = `a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, such as 500ms, 5s, 2m, 1h`;
  return describe(schema, { kind: 'duration', doc, expects, defaultText: byDefault, ...extras });
}

/** Bytes, from a number or text with a unit. */
export function bytes(byDefault: number, bounds: readonly [number, number], doc: string, extras: Extras = {}) {
  const schema = z.preprocess(readBytes, z.int().min(bounds[0]).max(bounds[1])).default(byDefault);
  const expects = `a size from ${formatBytes(bounds[0])} to ${formatBytes(bounds[1])}, such as 65536, 64KiB, 1MiB`;
  return describe(schema, { kind: 'bytes', doc, expects, defaultText: formatBytes(byDefault), ...extras });
}

export function toggle(byDefault: boolean, doc: string, extras: Extras = {}) {
  const schema = z.preprocess(readSwitch, z.boolean()).default(byDefault);
  return describe(schema, { kind: 'switch', doc, expects: 'true or false', defaultText: String(byDefault), ...extras });
}

export function choice<
  const Choices extends readonly [string, ...string[]],
  const Default extends Choices[number] | null,
>(choices: Choices, byDefault: Default, doc: string, extras: Extras = {}) {
  // YAML reads `true` and `false` as booleans; where they are words of a choice they mean the words.
  const schema = z
    .preprocess((value) => (typeof value === 'boolean' ? String(value) : value), z.enum(choices))
    .nullable()
    .default(byDefault as never) as unknown as z.ZodType<Choices[number] | Default>;
  const expects = `one of ${choices.join(', ')}`;
  return describe(schema, { kind: 'choice', doc, expects, defaultText: byDefault ?? 'none', ...extras });
}

export interface TextRule {
  readonly pattern: RegExp;
  readonly expects: string;
}

/** Text of at most 4096 characters that the rule admits; null where there is none by default. */
export function text<const Default extends string | null>(
  byDefault: Default,
  rule: TextRule,
  doc: string,
  extras: Extras = {},
) {
  const schema = z
    .string()
    .max(4096)
    .regex(rule.pattern)
    .nullable()
    .default(byDefault as never);
  const narrow = schema as unknown as z.ZodType<string | Default>;
  return describe(narrow, { kind: 'text', doc, expects: rule.expects, defaultText: showText(byDefault), ...extras });
}

/** At most 256 texts that the rule admits each. */
export function list(rule: TextRule, doc: string, extras: Extras = {}) {
  const item = z.string().max(4096).regex(rule.pattern);
  const schema = z
    .preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(item).max(256))
    .default([]);
  return describe(schema, { kind: 'list', doc, expects: rule.expects, defaultText: 'none', ...extras });
}

const pathRule: TextRule = { pattern: /^[^\0]+$/, expects: 'a path' };

/** A path; a relative one in the file is relative to the file's folder, one in the environment to the current folder. */
export function path<const Default extends string | null>(byDefault: Default, doc: string, extras: Extras = {}) {
  const schema = text(byDefault, pathRule, doc, extras);
  return describe(schema, { ...settingMetas.get(schema)!, kind: 'path' });
}

export function paths(doc: string, extras: Extras = {}) {
  const schema = list(pathRule, doc, extras);
  return describe(schema, { ...settingMetas.get(schema)!, kind: 'paths', expects: 'one or more paths' });
}

/** A map that somebody else reads and checks. */
export function raw(expects: string, doc: string) {
  const schema = z.record(z.string(), z.unknown()).default({});
  return describe(schema, { kind: 'raw', doc, expects, defaultText: 'none', env: null });
}

function showText(value: string | null): string {
  return value === null || value === '' ? 'none' : value;
}

function durationMs(value: string): number {
  const parsed = parseDurationMs(value);
  if (parsed === null) throw new Error(`not a duration: ${value}`);
  return parsed;
}

function readDuration(value: unknown): unknown {
  if (value === 0 || value === '0') return 0;
  return typeof value === 'string' ? parseDurationMs(value) : null;
}

function readInteger(value: unknown): unknown {
  return typeof value === 'string' && /^-?[0-9]{1,15}$/.test(value) ? Number(value) : value;
}

function readBytes(value: unknown): unknown {
  return typeof value === 'string' ? parseBytes(value) : value;
}

function readSwitch(value: unknown): unknown {
  if (value === 'true' || value === 'false') return value === 'true';
  return value;
}
