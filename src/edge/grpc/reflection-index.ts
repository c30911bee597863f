import type { Contract } from '../../contract/contract.ts';
import { ownDescriptors } from '../../contract/own-messages.ts';
import type { DescriptorFile, DescriptorSource } from '../../contract/reflection.ts';

/**
 * What reflection can be asked: the contract's descriptors, and Sluice's own where the contract has no file of that name.
 * A client links files by name, so each name must mean one file in every answer.
 */
export class ReflectionIndex {
  readonly #sources: readonly DescriptorSource[];
  /** Full names, sorted. */
  readonly services: readonly string[];

  constructor(contract: Contract, ownServices: readonly string[]) {
    this.#sources = [contract.descriptors, ownDescriptors];
    this.services = [...contract.services.map((service) => service.name), ...ownServices].sort();
  }

  fileByName(name: string): DescriptorFile | null {
    return this.#first((source) => source.fileByName(name));
  }

  fileContainingSymbol(symbol: string): DescriptorFile | null {
    return this.#first((source) => source.fileContainingSymbol(symbol));
  }

  fileContainingExtension(typeName: string, number: number): DescriptorFile | null {
    return this.#first((source) => source.fileContainingExtension(typeName, number));
  }

  /** Null for an unknown type. */
  extensionNumbers(typeName: string): readonly number[] | null {
    const numbers = this.#sources.map((source) => source.extensionNumbers(typeName));
    if (numbers.every((each) => each === null)) return null;
    return [...new Set(numbers.flatMap((each) => each ?? []))].sort((left, right) => left - right);
  }

  /** The file first, then all that it imports, directly or not, each once; of those only what `isKnown` does not. */
  withImports(file: DescriptorFile, isKnown: (name: string) => boolean): DescriptorFile[] {
    const found = new Map([[file.name, file]]);
    for (const each of found.values()) {
      for (const name of each.imports) {
        const imported = found.has(name) || isKnown(name) ? null : this.fileByName(name);
        if (imported) found.set(name, imported);
      }
    }
    return [...found.values()];
  }

  #first(find: (source: DescriptorSource) => DescriptorFile | null): DescriptorFile | null {
    for (const source of this.#sources) {
      const file = find(source);
      if (file) return this.#sources[0]?.fileByName(file.name) ?? file;
    }
    return null;
  }
}
