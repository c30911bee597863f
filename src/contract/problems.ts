/**
 * What is wrong with a contract or with the policies of a config. All of it is found before anything is said, so that
 * one run of `sluice check` shows the whole list.
 */

export interface Problem {
  /** Path as the user gave it, or the name inside a descriptor set. */
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  /** From 1. */
  readonly column?: number;
  /** `orders.v1.Orders/CreateOrder` */
  readonly method?: string;
  /** The option or config key: `(sluice.v1.command).wait`, `google.api.http`. */
  readonly option?: string;
  /** What was found and what was expected. */
  readonly message: string;
}

/** One line of text: `orders.proto:12:3: orders.v1.Orders/CreateOrder: (sluice.v1.command).wait: …`. */
export function formatProblem(problem: Problem): string {
  const place = [problem.file, problem.line, problem.column].filter((part) => part !== undefined).join(':');
  return [place, problem.method, problem.option, problem.message].filter((part) => part).join(': ');
}

/** Thrown by `loadContract` and `compileContract`; never empty. */
export class ContractProblems extends Error {
  override readonly name = 'ContractProblems';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = Object.freeze([...problems]);
  }
}
