/** The style of the house where a machine can see it, and documents that must not drift from what they describe. */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { GENERATED } from '../scripts/generated.ts';
import { settings } from '../src/config/tree.ts';
import { FAILURES, GRPC_CODE } from '../src/runtime/failure.ts';
import { listFiles, listImports, listTestTitles, ROOT, readText } from './support/source-tree.ts';

const files = listFiles();
const sources = files.filter((path) => /^(?:src|worker\/src)\/.*\.ts$/.test(path));
const gatewaySources = sources.filter((path) => path.startsWith('src/'));
const tests = files.filter((path) => /\.test\.ts$/.test(path));
const documents = files.filter((path) =>
  /^(?:README|CHANGELOG|docs\/.*|examples\/.*|bench\/.*|src\/.*)\.md$/.test(path),
);

/** What each folder of src may import beside itself. `*`: everything. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  runtime: [],
  contract: ['runtime'],
  operations: ['runtime'],
  admission: ['contract', 'runtime'],
  replies: ['operations', 'contract', 'runtime'],
  chores: ['operations', 'contract', 'runtime'],
  delivery: ['operations', 'runtime'],
  edge: ['contract', 'admission', 'operations', 'delivery', 'runtime'],
  store: ['operations', 'replies', 'chores', 'delivery', 'runtime'],
  channel: ['operations', 'replies', 'chores', 'delivery', 'runtime'],
  // The config knows the words of the contract (durations, nearest names), and the types of what it configures.
  config: ['config.ts', 'contract', 'runtime'],
  'config.ts': ['config', 'contract', 'runtime'],
  'stack.ts': ['*'],
  'wiring.ts': ['*'],
  'administration.ts': ['*'],
  'gateway.ts': ['*'],
  cli: ['*'],
  'main.ts': ['*'],
};

/** Adapters see ports of the inner folders, and no more of `contract` than its types. */
const MAY_IMPORT_TYPES: Readonly<Record<string, readonly string[]>> = { operations: ['contract'] };

/** Where each package may be imported in src. */
const HOMES: Readonly<Record<string, RegExp>> = {
  '@bufbuild/protobuf': /^src\/contract\//,
  '@bufbuild/protovalidate': /^src\/contract\//,
  '@electric-sql/pglite': /^src\/store\//,
  '@grpc/grpc-js': /^src\/edge\/grpc\//,
  '@hono/node-server': /^src\/edge\/rest\//,
  hono: /^src\/edge\/rest\//,
  'lz4-napi': /^src\/channel\/kafka[^/]*$/,
  snappy: /^src\/channel\/kafka[^/]*$/,
  kafkajs: /^src\/channel\/kafka[^/]*$/,
  pg: /^src\/store\//,
  'pino-pretty': /^src\/runtime\/log\.ts$/,
  pino: /^src\/runtime\/log\.ts$/,
  'prom-client': /^src\/runtime\/metrics\.ts$/,
  yaml: /^src\/config(?:\.ts|\/.*)$/,
  zod: /^src\/config(?:\.ts|\/.*)$/,
};

/** `src/edge/rest/server.ts` is of `edge`, `src/gateway.ts` of `gateway.ts`. */
function folderOf(path: string): string {
  return path.split('/')[1]!;
}

function isTypeImport(from: string, to: string): boolean {
  const name = to.split('/').at(-1)!.replace('.', '\\.');
  return new RegExp(`import type [^;]*${name}'`).test(readText(from));
}

describe('imports', () => {
  it('point inward', () => {
    const outward = gatewaySources.flatMap((path) =>
      listImports(path)
        .filter(({ relative }) => relative)
        .filter(({ to }) => {
          const [from, into] = [folderOf(path), folderOf(to)];
          if (!to.startsWith('src/') || from === into) return !to.startsWith('src/');
          const allowed = MAY_IMPORT[from] ?? [];
          const typed = MAY_IMPORT_TYPES[from]?.includes(into) === true && isTypeImport(path, to);
          return !allowed.includes('*') && !allowed.includes(into) && !typed;
        })
        .map(({ to }) => `${path} imports ${to}`),
    );
    expect(outward).toEqual([]);
  });

  it('of a package stand in its home only', () => {
    const astray = gatewaySources.flatMap((path) =>
      listImports(path)
        .filter(({ to, relative }) => !relative && !to.startsWith('node:') && HOMES[to]?.test(path) !== true)
        .map(({ to }) => `${path} imports ${to}`),
    );
    expect(astray).toEqual([]);
  });

  it('of the worker SDK know nothing of the gateway', () => {
    const worker = sources.filter((path) => path.startsWith('worker/'));
    const astray = worker.flatMap((path) =>
      listImports(path).filter(({ to, relative }) =>
        relative ? !to.startsWith('worker/src/') : !/^(?:node:.*|kafkajs|@bufbuild\/protobuf)$/.test(to),
      ),
    );
    expect(worker).not.toEqual([]);
    expect(astray).toEqual([]);
  });
});

describe('files', () => {
  it('have at most 300 lines, or say in their header why more; test files at most 500', () => {
    const code = files.filter((path) => /\.(?:ts|js)$/.test(path));
    const long = code.filter((path) => {
      const lines = readText(path).split('\n');
      const isTest = /^(?:worker\/)?test\//.test(path);
      return lines.length > (isTest ? 501 : 301) && !lines.slice(0, 10).some((line) => line.includes('Over 300 lines'));
    });
    expect(long).toEqual([]);
  });

  it('have names that say what is in them, and there are no barrels', () => {
    const vague = files.filter((path) => /(?:^|\/)(?:utils?|helpers?|common|misc|manager)(?:[./-]|$)/i.test(path));
    expect(vague).toEqual([]);
    expect(gatewaySources.filter((path) => path.endsWith('/index.ts'))).toEqual([]);
  });

  it('name no path of a machine, no package registry and nothing outside of the repository', () => {
    // Put together here so that this file is not its own finding.
    const outside = new RegExp(
      [
        ['shared', 'design'].join('/'),
        `${['', 'work', ''].join('/')}(?:main|shared)`,
        `${['', '(?:home|Users)', ''].join('/')}[a-z]`,
        `${['', 'root', ''].join('/')}`,
        ['registry', 'npmjs'].join('\\.'),
        `(?:^|[^/\\w])(?:promises|surface|patterns|seen)${'\\.md'}`,
      ].join('|'),
    );
    const found = files
      .filter((path) => !/\.(?:binpb|png|tgz|jar|proto)$/.test(path))
      .flatMap((path) => {
        const match = outside.exec(readText(path));
        return match ? [`${path}: ${match[0].trim()}`] : [];
      });
    expect(found).toEqual([]);
    expect(readText('package-lock.json')).not.toMatch(/"resolved": "https?:/);
  });
});

describe('tests', () => {
  it('have a title of their own each', () => {
    const twice = tests.flatMap((path) => {
      const seen = new Set<string>();
      return listTestTitles(path)
        .filter(({ path: title }) => seen.size === seen.add(title).size)
        .map(({ line, path: title }) => `${path}:${line}: ${title}`);
    });
    expect(twice).toEqual([]);
  });

  it('wait for conditions and never sleep', () => {
    // This file names what it looks for.
    const others = tests.filter((path) => path !== 'test/house-rules.test.ts');
    const sleeping = others.filter((path) => {
      const text = readText(path).replaceAll(/\/\/.*|'(?:\\.|[^'\\])*'/g, '');
      return /(?<![\w.])sleep\(|setTimeout\(\s*(?:resolve|done|r)\b|from 'node:timers\/promises'/.test(text);
    });
    expect(sleeping).toEqual([]);
  });
});

describe('documents', () => {
  it.each(Object.entries(GENERATED))('%s is what `npm run generate` makes', async (path, render) => {
    expect(readText(path)).toBe(await render());
  });

  it('list the same error codes as the code and the OpenAPI document', () => {
    const codes = Object.keys(FAILURES).sort();
    const documented = [...readText('docs/errors.md').matchAll(/^\| `([A-Z_]+)` \| [0-9]{3} \| `/gm)].map(
      (match) => match[1],
    );
    expect(documented.sort()).toEqual(codes);
    const openapi = JSON.parse(readText('openapi/orders.json'));
    expect([...openapi.components.schemas['sluice.Problem'].properties.code.enum].sort()).toEqual(codes);
  });

  it('list all metrics that there are, and no others', () => {
    const inCode = gatewaySources.flatMap((path) => [
      ...readText(path).matchAll(/(?:counter|gauge|histogram)\(\s*'(sluice_[a-z_]+)'/g),
    ]);
    const listed = readText('docs/http.md').matchAll(/^\| `(sluice_[a-z_]+)` \|/gm);
    const names = inCode.map((match) => match[1]).sort();
    expect(names).toContain('sluice_calls_total');
    expect([...listed].map((match) => match[1]).sort()).toEqual(names);
  });

  it('name only error codes that there are', () => {
    // Examples may show codes of workers, which are their own.
    const ours = documents.filter((path) => !path.startsWith('examples/'));
    const known = new Set([...Object.keys(FAILURES), ...Object.keys(GRPC_CODE)]);
    const gone = ours.flatMap((path) =>
      [...readText(path).matchAll(/"(?:code|reason)":\s*"([A-Z_]+)"/g)]
        .filter((match) => !known.has(match[1]!))
        .map((match) => `${path}: ${match[1]}`),
    );
    expect(gone).toEqual([]);
  });

  it('name only settings that there are', () => {
    const known = new Set([
      ...settings.flatMap(({ env }) => env ?? []),
      'SLUICE_CONFIG',
      'SLUICE_REQUIRE_REAL',
      'SLUICE_KAFKA_LIB',
      'SLUICE_TEST_KEEP',
    ]);
    const variable =
      /\b(?:SLUICE|HTTP|GRPC|KAFKA|MANAGEMENT|DATABASE|OPERATIONS|LEASES|DRAIN|LOG)_[A-Z][A-Z_]*[A-Z]\b/g;
    const gone = documents.flatMap((path) =>
      [...readText(path).matchAll(variable)]
        .filter((match) => !known.has(match[0]))
        .map((match) => `${path}: ${match[0]}`),
    );
    expect(gone).toEqual([]);
  });

  it('have a line for every package that is named in package.json', () => {
    const listed = readText('docs/dependencies.md');
    const manifests = ['package.json', 'worker/package.json'].map((path) => JSON.parse(readText(path)));
    const names = manifests.flatMap(({ dependencies, devDependencies, optionalDependencies }) =>
      Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies }),
    );
    expect(names.filter((name) => !listed.includes(`\`${name}\``))).toEqual([]);
    const written = [...listed.matchAll(/`((?:@[a-z-]+\/)?[a-z][a-z-]*)`/g)].map((match) => match[1]!);
    expect(written.filter((name) => !names.includes(name) && !/^(?:npm|node)$/.test(name))).toEqual([]);
  });

  it('link to files that there are', () => {
    const broken = documents.flatMap((path) =>
      [...readText(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)]
        .map((match) => new URL(match[1]!, `file:///${path}`).pathname.slice(1).replace(/\/$/, ''))
        .filter((target) => !files.some((file) => file === target || file.startsWith(`${target}/`)))
        .map((target) => `${path}: ${target}`),
    );
    expect(broken).toEqual([]);
  });
});

describe('settings', () => {
  it('are read by something, or would not be there', () => {
    const readers = gatewaySources
      .filter((path) => !/^src\/config(?:\.ts|\/(?!contract-options))/.test(path))
      .map(readText)
      .join('\n');
    const unread = settings.filter(({ path }) => !new RegExp(`\\b${path.at(-1)}\\b`).test(readers));
    expect(unread.map(({ key }) => key)).toEqual([]);
  });
});

describe('packages', () => {
  it('are pinned exactly', () => {
    const { dependencies, devDependencies, optionalDependencies } = JSON.parse(readText('package.json'));
    const versions = Object.entries<string>({ ...dependencies, ...devDependencies, ...optionalDependencies });
    expect(versions.filter(([, version]) => !/^[0-9]+\.[0-9]+\.[0-9]+(?:-[\w.]+)?$/.test(version))).toEqual([]);
  });

  it('that npm installs run scripts only where package.json allows it', () => {
    const lock = JSON.parse(readText('package-lock.json')) as {
      packages: Record<string, { hasInstallScript?: boolean }>;
    };
    const { allowScripts } = JSON.parse(readText('package.json'));
    const withScripts = Object.entries(lock.packages).filter(([, entry]) => entry.hasInstallScript);
    const names = withScripts.map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
    expect(names.filter((name) => !Object.hasOwn(allowScripts, name))).toEqual([]);
  });

  it('have all their platform variants in the lock file, as npm ci wants it', () => {
    const lock = JSON.parse(readText('package-lock.json')) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>;
    };
    const missing = Object.entries(lock.packages).flatMap(([path, { optionalDependencies }]) =>
      Object.keys(optionalDependencies ?? {})
        .filter((name) => !lock.packages[`node_modules/${name}`] && !lock.packages[`${path}/node_modules/${name}`])
        .map((name) => `${path || 'package.json'}: ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it('start on Node 24 and say so on an older one', () => {
    expect(readText('bin/sluice.js')).toContain('needs Node 24');
    const version = execFileSync(process.execPath, [`${ROOT}/bin/sluice.js`, '--version'], { encoding: 'utf8' });
    expect(version.trim()).toBe(JSON.parse(readText('package.json')).version);
  });
});
