/**
 * Makes `proto/sluice.binpb`, the descriptor set of the messages and services that Sluice itself speaks, from `proto/`.
 * Run after any change there: `node scripts/compile-own.ts`. It needs the `buf` compiler; running Sluice does not.
 */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findBuf } from '../src/contract/buf.ts';

const PROTO_FOLDER = fileURLToPath(new URL('../proto', import.meta.url));
const SET_PATH = fileURLToPath(new URL('../proto/sluice.binpb', import.meta.url));
const PATHS = ['sluice/v1/operations.proto', 'google/rpc', 'google/longrunning', 'grpc'];

/** The descriptor set with everything it imports, without comments. Throws where there is no `buf` or it refuses. */
export function compileOwn(): Buffer {
  const buf = findBuf();
  if (buf === null) throw new Error('buf is not installed: npm install (it is the optional dependency @bufbuild/buf)');
  const paths = PATHS.flatMap((path) => ['--path', path]);
  const args = ['build', '.', ...paths, '--exclude-source-info', '--as-file-descriptor-set', '-o', '-#format=binpb'];
  return execFileSync(buf, args, { cwd: PROTO_FOLDER, timeout: 60_000, maxBuffer: 16 * 1024 * 1024 });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(SET_PATH, compileOwn());
  console.log('proto/sluice.binpb is written');
}
