/** Contract sources, folders of .proto and compiled sets, into one set of descriptors. */

import { copyFile, mkdir, mkdtemp, readdir, readFile, realpath, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type FileDescriptorProto, type FileDescriptorSet, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { findBuf, runBuf } from './buf.ts';
import { ContractProblems, type Problem } from './problems.ts';

/** Files that users import without having them: google/api, google/rpc, buf/validate, sluice/v1. */
const VENDORED_FOLDER = fileURLToPath(new URL('../../proto', import.meta.url));

export interface CompileOptions {
  /** Null: there is no compiler. Default: the one that `findBuf` finds. */
  readonly buf?: string | null;
}

export interface CompiledSources {
  readonly set: FileDescriptorSet;
  /** Names in the set of files that the user brought, with the path to show; imports of them are not in it. */
  readonly ownFiles: ReadonlyMap<string, string>;
}

/**
 * A serialized google.protobuf.FileDescriptorSet of the sources and all that they import, as `sluice compile` writes it.
 * @throws ContractProblems
 */
export async function compileContract(sources: readonly string[], options: CompileOptions = {}): Promise<Uint8Array> {
  const { set } = await compileSources(sources, options);
  return toBinary(FileDescriptorSetSchema, set);
}

/** @throws ContractProblems */
export async function compileSources(
  sources: readonly string[],
  options: CompileOptions = {},
): Promise<CompiledSources> {
  const problems: Problem[] = [];
  if (sources.length === 0)
    problems.push({ message: 'no contract is named, expected folders of .proto files or .binpb files' });
  const folders: string[] = [];
  const parts: CompiledSources[] = [];
  for (const source of await dropRepeated(sources)) {
    const kind = await kindOf(source);
    if (kind === 'folder') folders.push(source);
    else if (kind === 'missing')
      problems.push({ file: source, message: 'does not exist, expected a folder of .proto files or a .binpb file' });
    else if (source.endsWith('.proto'))
      problems.push({ file: source, message: 'is a single file, expected the folder that its imports start from' });
    else await gather(parts, problems, () => readCompiledSet(source));
  }
  if (folders.length > 0) await gather(parts, problems, () => compileFolders(folders, options));
  if (problems.length > 0) throw new ContractProblems(problems);
  return mergeParts(parts);
}

/** Without those that are another one under another name. */
async function dropRepeated(sources: readonly string[]): Promise<string[]> {
  const byPath = new Map<string, string>();
  for (const source of sources) {
    const real = await realpath(source).catch(() => source);
    if (!byPath.has(real)) byPath.set(real, source);
  }
  return [...byPath.values()];
}

async function gather(
  parts: CompiledSources[],
  problems: Problem[],
  load: () => Promise<CompiledSources>,
): Promise<void> {
  try {
    parts.push(await load());
  } catch (error) {
    if (!(error instanceof ContractProblems)) throw error;
    problems.push(...error.problems);
  }
}

async function kindOf(source: string): Promise<'folder' | 'file' | 'missing'> {
  try {
    return (await stat(source)).isDirectory() ? 'folder' : 'file';
  } catch {
    return 'missing';
  }
}

async function readCompiledSet(path: string): Promise<CompiledSources> {
  try {
    const set = fromBinary(FileDescriptorSetSchema, await readFile(path));
    if (set.file.length === 0) throw new Error('it has no files');
    return { set, ownFiles: new Map(set.file.map((file) => [file.name, file.name])) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ContractProblems([
      { file: path, message: `is no compiled google.protobuf.FileDescriptorSet: ${reason}` },
    ]);
  }
}

/**
 * The compiler sees one folder with copies of all files: the user's, wherever they are and through whatever links, and
 * those of ours that they import and lack.
 */
async function compileFolders(folders: readonly string[], options: CompileOptions): Promise<CompiledSources> {
  const buf = options.buf === undefined ? findBuf() : options.buf;
  if (buf === null) {
    throw new ContractProblems([
      {
        message:
          'there is no buf to compile .proto files with: install @bufbuild/buf, or name a .binpb file made by `sluice compile`',
      },
    ]);
  }
  const ownFiles = await listOwnFiles(folders);
  const staged = await mkdtemp(join(tmpdir(), 'sluice-proto-'));
  try {
    await copyFiles(ownFiles, staged);
    await copyFiles(await findMissingImports(ownFiles), staged);
    const result = await runBuf(buf, staged);
    if (result.kind === 'built') return { set: fromBinary(FileDescriptorSetSchema, result.descriptorSet), ownFiles };
    throw new ContractProblems(result.problems.map((problem) => showAsGiven(problem, ownFiles)));
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}

async function copyFiles(files: ReadonlyMap<string, string>, folder: string): Promise<void> {
  for (const [name, path] of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await copyFile(path, join(folder, name));
  }
}

/** @throws ContractProblems for a folder without .proto files and for a file that two folders have. */
async function listOwnFiles(folders: readonly string[]): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const problems: Problem[] = [];
  for (const folder of folders) {
    const names = await listProtoFiles(folder);
    if (names.length === 0) problems.push({ file: folder, message: 'has no .proto files' });
    if (names.length > MAX_FILES) problems.push({ file: folder, message: `has more than ${MAX_FILES} .proto files` });
    for (const name of names) {
      const path = join(folder, name);
      const other = files.get(name);
      if (other) problems.push({ file: path, message: `is the same import path as ${other}, expected one of them` });
      else files.set(name, path);
    }
  }
  if (problems.length > 0) throw new ContractProblems(problems);
  return files;
}

const MAX_FILES = 10_000;

/**
 * Import paths of all .proto files below a folder, through links; without hidden folders (mounted volumes keep a second
 * copy in one) and node_modules.
 */
async function listProtoFiles(root: string): Promise<string[]> {
  const names: string[] = [];
  const visit = async (folder: string, prefix: string, parents: readonly string[]): Promise<void> => {
    const real = await realpath(folder);
    if (parents.includes(real) || names.length > MAX_FILES) return;
    for (const name of (await readdir(folder)).sort()) {
      if (name.startsWith('.') || name === 'node_modules') continue;
      const path = join(folder, name);
      const kind = await kindOf(path);
      if (kind === 'folder') await visit(path, `${prefix}${name}/`, [...parents, real]);
      else if (kind === 'file' && name.endsWith('.proto')) names.push(prefix + name);
    }
  };
  await visit(root, '', []);
  return names;
}

/** Our files that the user's files import, directly or not, and do not bring; name to path. */
async function findMissingImports(ownFiles: ReadonlyMap<string, string>): Promise<Map<string, string>> {
  const vendored = new Set(await listProtoFiles(VENDORED_FOLDER));
  const missing = new Map<string, string>();
  const open = [...ownFiles.values()];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    for (const [, name] of (await readFile(path, 'utf8')).matchAll(IMPORT)) {
      if (name === undefined || ownFiles.has(name) || !vendored.has(name) || missing.has(name)) continue;
      missing.set(name, join(VENDORED_FOLDER, name));
      open.push(join(VENDORED_FOLDER, name));
    }
  }
  return missing;
}

/** One too many, out of a comment, does no harm. */
const IMPORT = /\bimport\s+(?:public\s+|weak\s+)?["']([^"']+)["']/g;

/** Where two sources bring a file of the same name, such as google/api/http.proto, the first counts. */
function mergeParts(parts: readonly CompiledSources[]): CompiledSources {
  if (parts.length === 1) return parts[0]!;
  const files = new Map<string, FileDescriptorProto>();
  const ownFiles = new Map<string, string>();
  for (const part of parts) {
    for (const file of part.set.file) if (!files.has(file.name)) files.set(file.name, file);
    for (const [name, path] of part.ownFiles) if (!ownFiles.has(name)) ownFiles.set(name, path);
  }
  return { set: create(FileDescriptorSetSchema, { file: [...files.values()] }), ownFiles };
}

function showAsGiven(problem: Problem, ownFiles: ReadonlyMap<string, string>): Problem {
  const file = problem.file === undefined ? undefined : ownFiles.get(problem.file);
  return file === undefined ? problem : { ...problem, file };
}
