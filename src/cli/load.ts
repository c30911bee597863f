/** Config and contract for the commands; what is wrong with both is said together. */

import { ChannelSetupError } from '../channel/channel.ts';
import { contractOptionsOf } from '../config/contract-options.ts';
import { type Config, ConfigProblems, type LoadedConfig, type LoadOptions, loadConfig } from '../config.ts';
import { type Contract, loadContract } from '../contract/contract.ts';
import { ContractProblems, formatProblem, type Problem } from '../contract/problems.ts';
import { UsageProblems } from './usage-problems.ts';

/** The config; where it is wrong the contract is looked at too, so that one run tells everything. @throws UsageProblems */
export async function readConfig(options: LoadOptions = {}): Promise<LoadedConfig> {
  try {
    return loadConfig(options);
  } catch (error) {
    if (!(error instanceof ConfigProblems)) throw error;
    throw new UsageProblems([...error.problems, ...(await findContractProblems(error.readable))]);
  }
}

/** @throws UsageProblems */
export async function readContract(config: Config): Promise<Contract> {
  try {
    return await loadContract(contractOptionsOf(config));
  } catch (error) {
    throw asUsageProblems(error);
  }
}

/** Problems of a contract, or of the topics, as lines for people; any other error as it is. */
export function asUsageProblems(error: unknown): unknown {
  if (error instanceof ChannelSetupError) return new UsageProblems(error.problems);
  return error instanceof ContractProblems ? new UsageProblems(error.problems.map(showProblem)) : error;
}

async function findContractProblems(config: Config): Promise<readonly string[]> {
  if (config.contract.sources.length === 0) return [];
  try {
    await readContract(config);
    return [];
  } catch (error) {
    return error instanceof UsageProblems ? error.problems : [String(error)];
  }
}

/** Policies of the config are named from its root, as in the file. */
function showProblem(problem: Problem): string {
  const isPolicy = problem.file === undefined && /^(?:defaults|services|methods)\b/.test(problem.option ?? '');
  return formatProblem(isPolicy ? { ...problem, option: `contract.policies.${problem.option}` } : problem);
}
