/** All that is wrong with config and contract, a line each; never empty. */
export class UsageProblems extends Error {
  override readonly name = 'UsageProblems';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}
