/** The buf compiler: where it is, and one run of it. */

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { suggestName } from './nearest.ts';
import { JSON_FIELD_NAMES, POLICY_FIELD_NAMES } from './policy-fields.ts';
import type { Problem } from './problems.ts';

const PACKAGES: Readonly<Record<string, string>> = {
  'darwin arm64': '@bufbuild/buf-darwin-arm64/bin/buf',
  'darwin x64': '@bufbuild/buf-darwin-x64/bin/buf',
  'linux arm64': '@bufbuild/buf-linux-aarch64/bin/buf',
  'linux arm': '@bufbuild/buf-linux-armv7/bin/buf',
  'linux x64': '@bufbuild/buf-linux-x64/bin/buf',
  'win32 arm64': '@bufbuild/buf-win32-arm64/bin/buf.exe',
  'win32 x64': '@bufbuild/buf-win32-x64/bin/buf.exe',
};

/** The binary of the optional dependency @bufbuild/buf (its script costs 100 ms more), else `buf` on the PATH, else null. */
export function findBuf(): string | null {
  const name = PACKAGES[`${process.platform} ${process.arch}`];
  if (name) {
    try {
      const fromBuf = createRequire(createRequire(import.meta.url).resolve('@bufbuild/buf/package.json'));
      return fromBuf.resolve(name);
    } catch {
      // Not installed: optional dependencies may be left out.
    }
  }
  const places = (process.env['PATH'] ?? '').split(delimiter).filter((place) => place !== '');
  return places.map((place) => join(place, 'buf')).find((path) => existsSync(path)) ?? null;
}

const TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;
const COMPILE_ERRORS = 100;

export type BufResult =
  | { readonly kind: 'built'; readonly descriptorSet: Uint8Array }
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] };

/**
 * Builds a folder, which is the root that imports start from, into a google.protobuf.FileDescriptorSet with source info.
 * `file` of problems is relative to the folder.
 */
export async function runBuf(buf: string, folder: string): Promise<BufResult> {
  // Inline, so that neither a buf.yaml nor its dependencies elsewhere are looked at.
  const config = JSON.stringify({ version: 'v2', modules: [{ path: '.' }] });
  const args = ['build', '.', '--config', config, '--error-format', 'json', '--as-file-descriptor-set', '-o', '-'];
  const { code, stdout, stderr } = await run(buf, args, folder);
  if (code === 0) return { kind: 'built', descriptorSet: stdout };
  const problems = code === COMPILE_ERRORS ? readErrors(stderr, folder) : [];
  const otherwise = { message: stderr.trim() || `buf ended with ${code ?? 'a signal'}` };
  return { kind: 'refused', problems: problems.length > 0 ? problems : [otherwise] };
}

/** One line of buf's `--error-format json`. */
interface BufError {
  readonly path?: string;
  readonly start_line?: number;
  readonly start_column?: number;
  readonly end_line?: number;
  readonly end_column?: number;
  readonly message: string;
}

function readErrors(stderr: string, folder: string): Problem[] {
  return stderr.split('\n').flatMap((line): Problem[] => {
    if (line.trim() === '') return [];
    let error: BufError;
    try {
      error = JSON.parse(line);
    } catch {
      return [{ message: line }];
    }
    return [
      {
        ...(error.path && { file: error.path }),
        ...(error.start_line && { line: error.start_line }),
        ...(error.start_column && { column: error.start_column }),
        message: explainError(error, folder),
      },
    ];
  });
}

const UNKNOWN_OPTION_FIELD = /^cannot resolve message field name for `(sluice\.v1\.Command(?:\.Json)?)`/;

/** buf does not say which words it means: they are taken from the source. */
function explainError(error: BufError, folder: string): string {
  const words = readWords(error, folder);
  const type = UNKNOWN_OPTION_FIELD.exec(error.message)?.[1];
  if (words === '') return error.message;
  if (!type) return `${error.message}: ${words}`;
  const known = type === 'sluice.v1.Command' ? POLICY_FIELD_NAMES : JSON_FIELD_NAMES;
  const name = /^\w*/.exec(words)![0];
  return `"${name}" is no field of (sluice.v1.command)${suggestName(name, known)}`;
}

const MAX_WORDS_LENGTH = 100;

/** What stands at the place of an error, where that is within one line; else nothing. */
function readWords(error: BufError, folder: string): string {
  if (!error.path || !error.start_line || error.end_line !== error.start_line) return '';
  try {
    const line = readFileSync(join(folder, error.path), 'utf8').split('\n')[error.start_line - 1] ?? '';
    return line.slice((error.start_column ?? 1) - 1, (error.end_column ?? 1) - 1).slice(0, MAX_WORDS_LENGTH);
  } catch {
    return '';
  }
}

interface Finished {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

function run(command: string, args: readonly string[], cwd: string): Promise<Finished> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    // Not spawn's own `timeout`: that timer is left behind where the program cannot be started.
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    let sizeBytes = 0;
    const keep = (into: Buffer[]) => (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > MAX_OUTPUT_BYTES) child.kill('SIGKILL');
      else into.push(chunk);
    };
    const finish = (code: number | null, error?: Error) => {
      clearTimeout(timer);
      const text = error ? `cannot run buf: ${error.message}` : Buffer.concat(stderr).toString();
      resolve({ code, stdout: Buffer.concat(stdout), stderr: text });
    };
    child.stdout.on('data', keep(stdout));
    child.stderr.on('data', keep(stderr));
    child.on('error', (error) => finish(null, error));
    child.on('close', (code) => finish(code));
  });
}
