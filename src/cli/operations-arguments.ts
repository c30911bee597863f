/** The words after `sluice operations`. */
import { parseArgs } from 'node:util';

export const OPERATIONS_HELP = `sluice operations: recorded operations, everybody's

  sluice operations list                  newest first
      --command <name>  --state <state>   of a command (orders.v1.Orders/CreateOrder), in a state
      --principal <id>                    of a caller; '' is the anonymous one
  sluice operations unreconciled          older than their command says, without a report
      --limit <n>                         of both: at most so many, by default 50
      --page-token <token>                of both: go on where a list ended
  sluice operations get <id>              one operation
  sluice operations events <id>           its history
      --after <n>                         from the event after number n
      --full                              of both: with the bytes of results
  sluice operations cancel <id>           a result that comes first stands
  sluice operations redrive <id>          send its command again and renew its deadline
  sluice operations rebuild [<id>]        recompute rows from their events and say where they differ; changes nothing

      --json                              documents instead of tables
      --management <url>                  of the gateway; by default where the config puts its management port
      --direct                            open the store of the config, without asking a gateway

A gateway is asked where one runs; else the store is opened. Exit code: 0, 1 for a failure (and for a rebuild that
finds differences), 2 for a wrong call.
`;

export type Action = 'list' | 'unreconciled' | 'get' | 'events' | 'cancel' | 'redrive' | 'rebuild';

export interface OperationsCall {
  readonly action: Action;
  /** Null where the action is about many. */
  readonly id: string | null;
  readonly management: URL | null;
  readonly direct: boolean;
  readonly json: boolean;
  readonly full: boolean;
  readonly limit: number;
  readonly after: number;
  readonly pageToken: string | null;
  readonly principal: string | null;
  readonly command: string | null;
  readonly state: string | null;
}

/** The words make no call: exit code 2. */
export class WrongCall extends Error {
  override readonly name = 'WrongCall';
}

const OPTIONS = {
  principal: { type: 'string' },
  command: { type: 'string' },
  state: { type: 'string' },
  limit: { type: 'string' },
  'page-token': { type: 'string' },
  after: { type: 'string' },
  full: { type: 'boolean' },
  json: { type: 'boolean' },
  management: { type: 'string' },
  direct: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

interface Form {
  readonly id: 'required' | 'optional' | 'none';
  /** Beside those of every action. */
  readonly options: readonly (keyof typeof OPTIONS)[];
}

const FORMS: Readonly<Record<Action, Form>> = {
  list: { id: 'none', options: ['principal', 'command', 'state', 'limit', 'page-token'] },
  unreconciled: { id: 'none', options: ['limit', 'page-token'] },
  get: { id: 'required', options: ['full'] },
  events: { id: 'required', options: ['after', 'full'] },
  cancel: { id: 'required', options: [] },
  redrive: { id: 'required', options: [] },
  rebuild: { id: 'optional', options: [] },
};
const COMMON: readonly string[] = ['json', 'management', 'direct', 'help'];
const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 100_000;

/** Null where help is asked for. @throws WrongCall */
export function readOperationsCall(args: readonly string[]): OperationsCall | null {
  const { values, positionals } = parse(args);
  const [action = 'help', ...rest] = positionals;
  if (values.help || action === 'help') return null;
  if (!isAction(action)) throw new WrongCall(`no such command: operations ${action}\n\n${OPERATIONS_HELP}`);
  checkOptions(action, Object.keys(values));
  if (values.direct && values.management !== undefined)
    throw new WrongCall('--direct asks no gateway: no --management');
  return {
    action,
    id: readId(action, rest),
    management: values.management === undefined ? null : readUrl(values.management),
    direct: values.direct ?? false,
    json: values.json ?? false,
    full: values.full ?? false,
    limit: readNumber('limit', values.limit, DEFAULT_LIMIT, [1, MAX_LIMIT]),
    after: readNumber('after', values.after, 0, [0, 1_000_000]),
    pageToken: values['page-token'] ?? null,
    principal: values.principal ?? null,
    command: values.command ?? null,
    state: values.state ?? null,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS });
  } catch (error) {
    throw new WrongCall((error as Error).message);
  }
}

function isAction(word: string): word is Action {
  return Object.hasOwn(FORMS, word);
}

function checkOptions(action: Action, given: readonly string[]): void {
  const known: readonly string[] = [...COMMON, ...FORMS[action].options];
  const astray = given.find((name) => !known.includes(name));
  if (astray !== undefined) throw new WrongCall(`--${astray} does not belong to \`sluice operations ${action}\``);
}

function readId(action: Action, words: readonly string[]): string | null {
  const { id } = FORMS[action];
  const most = id === 'none' ? 0 : 1;
  if (words.length > most) throw new WrongCall(`too many words after ${action}: ${words.slice(most).join(' ')}`);
  if (id === 'required' && !words[0]) throw new WrongCall(`sluice operations ${action} <id>: the id is missing`);
  return words[0] ?? null;
}

function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url && /^https?:$/.test(url.protocol)) return url;
  throw new WrongCall(`--management: found ${text}, expected a URL such as http://127.0.0.1:8081`);
}

function readNumber(
  name: string,
  text: string | undefined,
  byDefault: number,
  [least, most]: [number, number],
): number {
  if (text === undefined) return byDefault;
  const number = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new WrongCall(`--${name}: found ${text}, expected a whole number from ${least} to ${most}`);
}
