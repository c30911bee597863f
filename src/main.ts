/** The command line. Each command loads what it needs itself, so that help needs nothing. */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const HELP = `sluice: a gRPC and REST gateway over Kafka

  sluice start                 serve until SIGTERM
  sluice check                 read config and contract, and say all that is wrong with them
  sluice routes                show what is served; of two routes that match, the upper one wins
  sluice compile [-o <file>]   compile the contract into one descriptor set (default contract.binpb)
  sluice operations …          list, cancel, send again, check recorded operations: \`sluice operations help\`
  sluice help                  this text
  sluice --version

Settings come from the YAML file that SLUICE_CONFIG names, and from environment variables over it.
The least that is needed: SLUICE_CONTRACT=<folder of .proto files> sluice start
`;

const COMMANDS: Readonly<Record<string, (options: { readonly output?: string }) => Promise<void> | void>> = {
  start,
  check,
  routes,
  compile,
  help: () => void process.stdout.write(HELP),
};

/** Runs one command line and sets the exit code: 0, 1 for a failure (a wrong config or contract too), 2 for a wrong call. */
export async function main(args: readonly string[]): Promise<void> {
  try {
    if (args[0] === 'operations') return await operations(args.slice(1));
    const call = readArguments(args);
    if (call !== null) await COMMANDS[call.command]!(call);
  } catch (error) {
    await tellFailure(error);
  }
}

/** Has words and options of its own. */
async function operations(args: readonly string[]): Promise<void> {
  const { runOperations } = await import('./cli/operations.ts');
  await runOperations(args);
}

function readArguments(args: readonly string[]): { command: string; output?: string } | null {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        output: { type: 'string', short: 'o' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean', short: 'v' },
      },
    });
    if (values.version) return refuse(null, `${readVersion()}\n`);
    const command = values.help ? 'help' : (positionals[0] ?? 'help');
    if (!Object.hasOwn(COMMANDS, command)) return refuse(2, `no such command: ${command}\n\n${HELP}`);
    if (positionals.length > 1)
      return refuse(2, `too many words after ${command}: ${positionals.slice(1).join(' ')}\n`);
    if (values.output !== undefined && command !== 'compile')
      return refuse(2, '--output belongs to `sluice compile`\n');
    return { command, ...(values.output === undefined ? {} : { output: values.output }) };
  } catch (error) {
    return refuse(2, `${(error as Error).message}\n`);
  }
}

/** Prints and leaves nothing to do; on standard error with an exit code, else on standard output. */
function refuse(exitCode: number | null, text: string): null {
  (exitCode === null ? process.stdout : process.stderr).write(text);
  if (exitCode !== null) process.exitCode = exitCode;
  return null;
}

function readVersion(): string {
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

async function start(): Promise<void> {
  const { endWithNpm } = await import('./cli/npm-parent.ts');
  endWithNpm();
  const [{ readConfig }, { runStart }] = await Promise.all([import('./cli/load.ts'), import('./cli/start.ts')]);
  const { config, warnings } = await readConfig();
  await runStart(config, { warnings });
}

async function check(): Promise<void> {
  const { config, contract } = await load();
  const { findTopicProblems } = await import('./cli/check.ts');
  const problems = findTopicProblems(config, contract);
  if (problems.length > 0) throw new (await import('./cli/usage-problems.ts')).UsageProblems(problems);
  const routes = contract.routes.routes.length;
  const sources = config.contract.sources.join(', ');
  process.stdout.write(
    `${sources}: ${contract.commands.size} commands, ${routes} routes. Config and contract are good.\n`,
  );
}

async function routes(): Promise<void> {
  const { renderRoutes } = await import('./cli/routes.ts');
  process.stdout.write(renderRoutes((await load()).contract));
}

async function compile(options: { readonly output?: string }): Promise<void> {
  const { contract } = await load();
  const file = options.output ?? 'contract.binpb';
  writeFileSync(file, contract.fileDescriptorSet);
  process.stdout.write(`${file}: ${contract.fileDescriptorSet.length} bytes, ${contract.commands.size} commands\n`);
}

async function load() {
  const { readConfig, readContract } = await import('./cli/load.ts');
  const { config, warnings } = await readConfig();
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  return { config, contract: await readContract(config) };
}

/** Problems one a line; of all else the message, and the stack only where it is a defect. */
async function tellFailure(error: unknown): Promise<void> {
  const { UsageProblems } = await import('./cli/usage-problems.ts');
  process.exitCode = 1;
  if (error instanceof UsageProblems) {
    process.stderr.write(`${error.problems.map((problem) => `error: ${problem}`).join('\n')}\n`);
  } else {
    const isDefect = error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError;
    process.stderr.write(`error: ${isDefect ? error.stack : error instanceof Error ? error.message : String(error)}\n`);
  }
  // A gateway that failed to start may have left a timer behind; there is nothing more to come.
  if (process.exitCode) process.exit();
}
