/** docs/configuration.md, made from `src/config/schema.ts`. */
import { reservedKeys } from '../src/config/schema.ts';
import { configTree, type Group, isGroup, type Setting } from '../src/config/tree.ts';

const intro = `<!-- Made by \`npm run generate\` from src/config/schema.ts. Do not edit. -->

# Configuration

Sluice reads one YAML file, named by \`SLUICE_CONFIG\`, and environment variables over it. Both are optional but for the
contract: \`contract.sources\` (\`SLUICE_CONTRACT\`) says what is served. Everything is read and checked once, at start; all
that is wrong is reported together, and the exit code is 1. \`sluice check\` does only that.

- **Names.** Keys in the file are in snake_case. A variable has the name of its key in capitals with \`_\` for the dot
  (\`http.max_body_bytes\` is \`HTTP_MAX_BODY_BYTES\`) unless the tables below name another one.
- **Durations** are text with a unit: \`500ms\`, \`5s\`, \`2m\`, \`1h\`. A bare number is refused, but for \`0\`.
- **Sizes** (keys that end in \`_bytes\`) are a number of bytes or text with a unit: \`64KiB\`, \`1MiB\`, \`2GiB\`.
- **Lists** are YAML lists in the file, and text with commas in a variable.
- **Paths** in the file are relative to the file's folder; in a variable, to the current folder.
- **An empty variable** counts as absent.
- **Unknown keys are errors.** Unknown variables that begin like ours (\`KAFKA_\`, \`HTTP_\`, …) are warnings in the log.
- **Reserved keys.** ${listReserved()} belong to later versions; to set one is an error, not silence.
- **Secrets** are never written to the log.

Sluice binds loopback addresses unless told otherwise. As long as nobody is authenticated, \`http.host\` and \`grpc.host\` may
be others only together with \`auth: none\` (\`SLUICE_AUTH=none\`), which lets everybody in. The management port serves
health and metrics to whoever reaches it, and takes no calls of callers (\`management.operations\` is for operators): \`management.host\` is not held to that.

\`\`\`yaml
contract:
  sources: [contracts]
  policies:
    defaults: { wait: 5s }
    methods:
      orders.v1.Orders/CreateOrder: { key: customer_id, max_wait: 30s }
http:
  public_url: https://api.example.org
  trusted_proxies: [10.0.0.0/8]
kafka:
  brokers: [kafka-1:9092, kafka-2:9092]
  namespace: prod
store:
  database_url: postgres://sluice:secret@db:5432/sluice
drain:
  delay: 5s
\`\`\`
`;

export function renderConfiguration(): string {
  return `${[intro, ...renderGroup(configTree)].join('\n')}`;
}

function listReserved(): string {
  const keys = Object.entries(reservedKeys).flatMap(([group, names]) =>
    names.map((name) => `\`${group === '' ? name : `${group}.${name}`}\``),
  );
  return keys.join(', ');
}

/** The group's own settings in one table, then its groups. */
function renderGroup(group: Group): string[] {
  const children = [...group.children.values()];
  const own = children.filter((child): child is Setting => !isGroup(child));
  const title = group.key === '' ? 'Top level' : `\`${group.key}\``;
  const table =
    own.length === 0
      ? []
      : [`## ${title}\n`, '| Key | Variable | Default | Meaning |', '|---|---|---|---|', ...own.map(renderRow), ''];
  return [...table, ...children.filter(isGroup).flatMap(renderGroup)];
}

function renderRow({ key, env, meta }: Setting): string {
  const variable = env === null ? '' : `\`${env}\``;
  const byDefault = meta.defaultText === 'none' ? 'none' : `\`${meta.defaultText}\``;
  return `| \`${key}\` | ${variable} | ${byDefault} | ${meta.doc} Takes ${meta.expects}. |`.replaceAll('  ', ' ');
}
