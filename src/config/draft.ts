/** Values as they were found, not checked yet, each with the place that it came from. */
import { isAbsolute, resolve } from 'node:path';
import type { Setting } from './tree.ts';

export class Draft {
  /** Shaped as the Config. */
  readonly values: Record<string, unknown> = {};
  readonly problems: string[] = [];
  readonly warnings: string[] = [];
  /** The file could not be read to its end. */
  incomplete = false;
  /** By key of the setting: `sluice.yaml:3: http.port`, `HTTP_PORT`. */
  readonly #places = new Map<string, string>();

  put(setting: Setting, value: unknown, place: string): void {
    this.#places.set(setting.key, place);
    let at = this.values;
    for (const property of setting.path.slice(0, -1)) {
      at[property] ??= {};
      at = at[property] as Record<string, unknown>;
    }
    at[setting.path.at(-1)!] = value;
  }

  /** Takes a value out again, so that the others can be looked at. */
  remove(setting: Setting): void {
    let at = this.values;
    for (const property of setting.path.slice(0, -1)) at = (at[property] ?? {}) as Record<string, unknown>;
    delete at[setting.path.at(-1)!];
  }

  /** What was found; undefined where nothing was. */
  find(setting: Setting): unknown {
    let at: unknown = this.values;
    for (const property of setting.path) at = (at as Record<string, unknown> | undefined)?.[property];
    return at;
  }

  /** Where the value stands, or how it could be given. */
  placeOf(setting: Setting): string {
    return this.#places.get(setting.key) ?? (setting.env === null ? setting.key : `${setting.key} (${setting.env})`);
  }
}

/** Makes relative paths absolute; leaves what is no path for the schema to refuse. */
export function resolvePaths(setting: Setting, value: unknown, folder: string): unknown {
  const resolveOne = (each: unknown) =>
    typeof each !== 'string' || each === '' || isAbsolute(each) ? each : resolve(folder, each);
  if (setting.meta.kind === 'path') return resolveOne(value);
  if (setting.meta.kind === 'paths') return Array.isArray(value) ? value.map(resolveOne) : resolveOne(value);
  return value;
}
