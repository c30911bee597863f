import { expect, test } from 'vitest';
import { commentOf, locateDeclaration } from '../../src/contract/source-info.ts';
import { loadProto } from './contract-support.ts';

const { registry } = await loadProto(`// About S.
service S {
  // About A,
  //   in two lines.
  rpc A(M) returns (M);
}
// About M.
message M {
  string a = 1; // About a.
  // About N.
  message N { int32 b = 1; }
  // About E.
  enum E {
    // About X.
    X = 0;
  }
}
// About F.
enum F { Y = 0; }
`);
const message = registry.getMessage('test.v1.M')!;
const service = registry.getService('test.v1.S')!;

test.each([
  ['a service', service, 'About S.', 17],
  ['a method', service.methods[0]!, 'About A,\n  in two lines.', 20],
  ['a message', message, 'About M.', 23],
  ['a field', message.fields[0]!, 'About a.', 24],
  ['a nested message', registry.getMessage('test.v1.M.N')!, 'About N.', 26],
  ['a nested enum', registry.getEnum('test.v1.M.E')!, 'About E.', 28],
  ['an enum value', registry.getEnum('test.v1.M.E')!.values[0]!, 'About X.', 30],
  ['an enum', registry.getEnum('test.v1.F')!, 'About F.', 34],
  ['a field without comment', registry.getMessage('test.v1.M.N')!.fields[0]!, '', 26],
])('%s has its comment and line', (_, declaration, comment, line) => {
  expect(commentOf(declaration)).toBe(comment);
  expect(locateDeclaration(declaration)?.line).toBe(line);
});
