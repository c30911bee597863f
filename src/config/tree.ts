/** The schema seen as a tree of groups and settings, with the names that the file and the environment use. */
import { z } from 'zod';
import { configSchema } from './schema.ts';
import { type SettingMeta, settingMetas } from './setting.ts';

export interface Setting {
  readonly meta: SettingMeta;
  /** Property names in the Config. */
  readonly path: readonly string[];
  /** In the file: `http.max_body_bytes`. */
  readonly key: string;
  /** Null: the file only. */
  readonly env: string | null;
}

export interface Group {
  /** `kafka.publish`; empty for the root. */
  readonly key: string;
  /** By the last part of their key in the file, in the schema's order. */
  readonly children: ReadonlyMap<string, Group | Setting>;
}

export function isGroup(node: Group | Setting): node is Group {
  return 'children' in node;
}

/** `maxBodyBytes` is `max_body_bytes`, `leaseMs` is `lease`: a duration carries its unit in the value. */
function fileNameOf(property: string): string {
  return property.replace(/Ms$/, '').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function readGroup(schema: z.ZodObject, path: readonly string[]): Group {
  const children = new Map<string, Group | Setting>();
  for (const [property, child] of Object.entries(schema.shape)) {
    children.set(fileNameOf(property), readNode(child as z.ZodType, [...path, property]));
  }
  return { key: path.map(fileNameOf).join('.'), children };
}

function readNode(schema: z.ZodType, path: readonly string[]): Group | Setting {
  const meta = settingMetas.get(schema);
  if (meta) return readSetting(meta, path);
  if (schema instanceof z.ZodPrefault) return readGroup(schema.def.innerType as z.ZodObject, path);
  throw new Error(`${path.join('.')} is neither a group nor a setting`);
}

function readSetting(meta: SettingMeta, path: readonly string[]): Setting {
  const key = path.map(fileNameOf).join('.');
  const env = meta.env === undefined ? key.replaceAll('.', '_').toUpperCase() : meta.env;
  return { meta, path, key, env };
}

export const configTree: Group = readGroup(configSchema, []);

/** All settings in the schema's order. */
export const settings: readonly Setting[] = listSettings(configTree);

function listSettings(group: Group): Setting[] {
  return [...group.children.values()].flatMap((child) => (isGroup(child) ? listSettings(child) : [child]));
}
