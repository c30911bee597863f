/** What gRPC server reflection asks of the contract (grpc/reflection/v1/reflection.proto): files as serialized descriptors. */

import { create, type DescFile, type FileRegistry, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

export interface DescriptorFile {
  readonly name: string;
  /** A serialized google.protobuf.FileDescriptorProto, without comments. */
  readonly bytes: Uint8Array;
  /** Names of the files that it imports. */
  readonly imports: readonly string[];
}

/** Look-ups over all files of the set, imports too. Bytes are made when they are first asked for. */
export class DescriptorSource {
  readonly #files: ReadonlyMap<string, DescFile>;
  readonly #symbols = new Map<string, DescFile>();
  readonly #extensions = new Map<string, Map<number, DescFile>>();
  readonly #serialized = new Map<string, DescriptorFile>();

  constructor(registry: FileRegistry) {
    this.#files = new Map([...registry.files].map((file) => [file.proto.name, file]));
    for (const type of registry) {
      this.#symbols.set(type.typeName, type.file);
      if (type.kind === 'service')
        for (const method of type.methods) this.#symbols.set(`${type.typeName}.${method.name}`, type.file);
      if (type.kind === 'message')
        for (const field of type.fields) this.#symbols.set(`${type.typeName}.${field.name}`, type.file);
      if (type.kind === 'enum') {
        for (const value of type.values) this.#symbols.set(scopeOf(type.typeName) + value.name, type.file);
      }
      if (type.kind === 'extension') {
        const numbers = this.#extensions.get(type.extendee.typeName) ?? new Map<number, DescFile>();
        this.#extensions.set(type.extendee.typeName, numbers.set(type.number, type.file));
      }
    }
  }

  fileByName(name: string): DescriptorFile | null {
    return this.#serialize(this.#files.get(name));
  }

  /** @param symbol full name of a message, enum, service, method, field, enum value or extension. */
  fileContainingSymbol(symbol: string): DescriptorFile | null {
    return this.#serialize(this.#symbols.get(symbol));
  }

  fileContainingExtension(typeName: string, number: number): DescriptorFile | null {
    return this.#serialize(this.#extensions.get(typeName)?.get(number));
  }

  /** Null for an unknown type. */
  extensionNumbers(typeName: string): readonly number[] | null {
    const numbers = this.#extensions.get(typeName);
    if (numbers) return [...numbers.keys()].sort((left, right) => left - right);
    return this.#symbols.has(typeName) ? [] : null;
  }

  #serialize(file: DescFile | undefined): DescriptorFile | null {
    if (!file) return null;
    const { name } = file.proto;
    const known = this.#serialized.get(name);
    if (known) return known;
    const { sourceCodeInfo: _comments, ...proto } = file.proto;
    const bytes = toBinary(FileDescriptorProtoSchema, create(FileDescriptorProtoSchema, proto));
    const serialized = Object.freeze({ name, bytes, imports: Object.freeze([...file.proto.dependency]) });
    this.#serialized.set(name, serialized);
    return serialized;
  }
}

/** The dot included. Values of an enum stand beside it, not in it: they have the scope of their enum (as in C++). */
function scopeOf(typeName: string): string {
  return typeName.slice(0, typeName.lastIndexOf('.') + 1);
}
