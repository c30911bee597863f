/** Lines and comments of declarations, from a file's source info (google/protobuf/descriptor.proto). */

import type {
  DescEnum,
  DescEnumValue,
  DescField,
  DescFile,
  DescMessage,
  DescMethod,
  DescService,
} from '@bufbuild/protobuf';

export type Declaration = DescService | DescMethod | DescMessage | DescField | DescEnum | DescEnumValue;

export interface SourceLocation {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** The comment above, or behind on the same line; trimmed, without comment marks. Empty where there is none. */
  readonly comment: string;
}

/** Field numbers of FileDescriptorProto, ServiceDescriptorProto, DescriptorProto and EnumDescriptorProto. */
const FILE_PACKAGE = 2;
const FILE_MESSAGE = 4;
const FILE_ENUM = 5;
const FILE_SERVICE = 6;
const SERVICE_METHOD = 2;
const MESSAGE_FIELD = 2;
const MESSAGE_NESTED = 3;
const MESSAGE_ENUM = 4;
const ENUM_VALUE = 2;

const indexes = new WeakMap<DescFile, Map<string, SourceLocation>>();

/** Null where the descriptor set was built without source info. */
export function locateDeclaration(declaration: Declaration): SourceLocation | null {
  return indexOf(fileOf(declaration)).get(pathOf(declaration).join('.')) ?? null;
}

/** The comment of a declaration; empty where there is none. */
export function commentOf(declaration: Declaration): string {
  return locateDeclaration(declaration)?.comment ?? '';
}

/** The comment above a file's `package`; empty where there is none. */
export function packageCommentOf(file: DescFile): string {
  return indexOf(file).get(String(FILE_PACKAGE))?.comment ?? '';
}

function fileOf(declaration: Declaration): DescFile {
  return 'file' in declaration ? declaration.file : fileOf(declaration.parent);
}

function indexOf(file: DescFile): Map<string, SourceLocation> {
  let index = indexes.get(file);
  if (!index) {
    index = indexFile(file);
    indexes.set(file, index);
  }
  return index;
}

function indexFile(file: DescFile): Map<string, SourceLocation> {
  const index = new Map<string, SourceLocation>();
  for (const location of file.proto.sourceCodeInfo?.location ?? []) {
    const comment = trimComment(location.leadingComments || location.trailingComments);
    index.set(location.path.join('.'), {
      line: (location.span[0] ?? 0) + 1,
      column: (location.span[1] ?? 0) + 1,
      comment,
    });
  }
  return index;
}

function trimComment(text: string): string {
  return text
    .split('\n')
    .map((line) => line.replace(/^ /, '').trimEnd())
    .join('\n')
    .trim();
}

function pathOf(declaration: Declaration): number[] {
  switch (declaration.kind) {
    case 'service':
      return [FILE_SERVICE, declaration.file.proto.service.indexOf(declaration.proto)];
    case 'rpc':
      return [
        ...pathOf(declaration.parent),
        SERVICE_METHOD,
        declaration.parent.proto.method.indexOf(declaration.proto),
      ];
    case 'field':
      return [...pathOf(declaration.parent), MESSAGE_FIELD, declaration.parent.proto.field.indexOf(declaration.proto)];
    case 'enum_value':
      return [...pathOf(declaration.parent), ENUM_VALUE, declaration.parent.proto.value.indexOf(declaration.proto)];
    case 'enum':
      if (!declaration.parent) return [FILE_ENUM, declaration.file.proto.enumType.indexOf(declaration.proto)];
      return [
        ...pathOf(declaration.parent),
        MESSAGE_ENUM,
        declaration.parent.proto.enumType.indexOf(declaration.proto),
      ];
    case 'message':
      if (!declaration.parent) return [FILE_MESSAGE, declaration.file.proto.messageType.indexOf(declaration.proto)];
      return [
        ...pathOf(declaration.parent),
        MESSAGE_NESTED,
        declaration.parent.proto.nestedType.indexOf(declaration.proto),
      ];
  }
}
