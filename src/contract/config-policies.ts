import type { DescMethod } from '@bufbuild/protobuf';
import { suggestName } from './nearest.ts';
import type { ConfigPolicies } from './policy.ts';
import { type PolicyFields, readPolicyFields } from './policy-fields.ts';
import type { Problem } from './problems.ts';

/** Policies of a config, each read once; names that the contract lacks are problems. */
export class ConfigPolicyReader {
  readonly defaults: PolicyFields;
  readonly #services: ReadonlyMap<string, PolicyFields>;
  /** By `orders.v1.Orders/CreateOrder`. */
  readonly #methods: ReadonlyMap<string, PolicyFields>;
  readonly #file: string | undefined;
  readonly #problems: Problem[];

  constructor(policies: ConfigPolicies, methods: readonly DescMethod[], problems: Problem[]) {
    this.#file = policies.file;
    this.#problems = problems;
    const services = [...new Set(methods.map((method) => method.parent.typeName))];
    const names = methods.map(nameOf);
    this.defaults = this.#read('defaults', policies.defaults);
    this.#services = this.#readAll('services', policies.services, services, (name) => name);
    this.#methods = this.#readAll('methods', policies.methods, names, (name) =>
      name.includes('/') ? name : name.replace(/\.([^.]*)$/, '/$1'),
    );
  }

  ofService(method: DescMethod): PolicyFields {
    return this.#services.get(method.parent.typeName) ?? {};
  }

  ofMethod(method: DescMethod): PolicyFields {
    return this.#methods.get(nameOf(method)) ?? {};
  }

  /** Where a field stands that does not fit its method; undefined where the config does not say it. */
  placeOf(method: DescMethod, field: string): Pick<Problem, 'file' | 'option'> | undefined {
    const places = [
      ['methods', nameOf(method), this.ofMethod(method)],
      ['services', method.parent.typeName, this.ofService(method)],
    ] as const;
    for (const [section, name, fields] of places) {
      if (Object.hasOwn(fields, field)) return { ...this.#fileOf(), option: `${section}.${name}.${field}` };
    }
    return undefined;
  }

  /** Where `defaults` say a field that fits no method of this kind. */
  placeOfDefault(field: string): Pick<Problem, 'file' | 'option'> | undefined {
    return Object.hasOwn(this.defaults, field) ? { ...this.#fileOf(), option: `defaults.${field}` } : undefined;
  }

  #readAll(
    section: string,
    entries: unknown,
    known: readonly string[],
    normalize: (name: string) => string,
  ): Map<string, PolicyFields> {
    const read = new Map<string, PolicyFields>();
    if (entries === undefined || entries === null) return read;
    if (typeof entries !== 'object' || Array.isArray(entries)) {
      this.#report(section, 'expected a mapping of names to policies');
      return read;
    }
    for (const [given, raw] of Object.entries(entries)) {
      const name = normalize(given);
      if (!known.includes(name)) {
        this.#report(`${section}.${given}`, `is no ${section.slice(0, -1)} of the contract${suggestName(name, known)}`);
      } else if (read.has(name)) this.#report(`${section}.${given}`, 'is given twice');
      read.set(name, this.#read(`${section}.${given}`, raw));
    }
    return read;
  }

  #read(place: string, raw: unknown): PolicyFields {
    return readPolicyFields(raw, (key, message) => this.#report(key === '' ? place : `${place}.${key}`, message));
  }

  #report(option: string, message: string): void {
    this.#problems.push({ ...this.#fileOf(), option, message });
  }

  #fileOf(): Pick<Problem, 'file'> {
    return this.#file === undefined ? {} : { file: this.#file };
  }
}

/** `orders.v1.Orders/CreateOrder` */
export function nameOf(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}
