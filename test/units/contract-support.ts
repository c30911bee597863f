import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll } from 'vitest';
import type { Command } from '../../src/contract/command.ts';
import { type Contract, type LoadOptions, loadContract } from '../../src/contract/contract.ts';
import { ContractProblems, type Problem } from '../../src/contract/problems.ts';
import { assembleRequest } from '../../src/contract/transcode.ts';
import { Failure, type Violation } from '../../src/runtime/failure.ts';

const folders: string[] = [];

afterAll(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** A folder of files by relative path, removed after the test file. */
export async function writeFolder(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-contract-'));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  return folder;
}

/** What a body mentions, and what it has to import for that. */
const IMPORTS: readonly (readonly [RegExp, string])[] = [
  [/buf\.validate/, 'buf/validate/validate.proto'],
  [/google\.api\.http/, 'google/api/annotations.proto'],
  [/google\.api\.field_behavior/, 'google/api/field_behavior.proto'],
  [/google\.longrunning/, 'google/longrunning/operations.proto'],
  [/google\.protobuf\.Any/, 'google/protobuf/any.proto'],
  [/google\.protobuf\.Duration/, 'google/protobuf/duration.proto'],
  [/google\.protobuf\.Empty/, 'google/protobuf/empty.proto'],
  [/google\.protobuf\.FieldMask/, 'google/protobuf/field_mask.proto'],
  [/google\.protobuf\.(Struct|Value|ListValue|NullValue)/, 'google/protobuf/struct.proto'],
  [/google\.protobuf\.Timestamp/, 'google/protobuf/timestamp.proto'],
  [/google\.protobuf\.\w+Value/, 'google/protobuf/wrappers.proto'],
  [/sluice\.v1/, 'sluice/v1/options.proto'],
];

/** `test/v1/test.proto` of package `test.v1` with the imports that the body needs; line 16 is the first of `body`. */
export function protoFile(body: string): Record<string, string> {
  const imports = IMPORTS.map(([mention, path]) => (mention.test(body) ? `import "${path}";` : ''));
  return {
    'test/v1/test.proto': ['syntax = "proto3";', 'package test.v1;', ...imports, '', body.trim(), ''].join('\n'),
  };
}

export async function loadProto(body: string, options: Partial<LoadOptions> = {}): Promise<Contract> {
  return loadContract({ sources: [await writeFolder(protoFile(body))], ...options });
}

/** The problems of a contract that must not load. */
export async function problemsOf(loading: Promise<unknown>): Promise<readonly Problem[]> {
  const error = await loading.then(
    () => null,
    (caught: unknown) => caught,
  );
  if (error instanceof ContractProblems) return error.problems;
  throw error ?? new Error('it loaded');
}

/** The failure of a call that must fail. */
export function failureOf(call: () => unknown): Failure {
  try {
    call();
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

export function violationsOf(call: () => unknown): readonly Violation[] {
  return failureOf(call).violations;
}

export function commandOf(contract: Contract, name: string): Command {
  const command = contract.commands.get(name);
  if (!command) throw new Error(`no command ${name}`);
  return command;
}

/** An HTTP request through router and transcoding. @returns the request as canonical JSON. */
export function call(contract: Contract, httpMethod: string, target: string, body?: unknown): unknown {
  const [path = '', query = ''] = target.split('?', 2);
  const match = contract.routes.match(httpMethod, path);
  if (match.kind !== 'match') return match;
  const { command, binding, variables } = match;
  const message = assembleRequest(command, binding, variables, query, body as never);
  command.codec.validateRequest(message, binding);
  return { [command.method]: JSON.parse(command.codec.requestToJson(message)) };
}
