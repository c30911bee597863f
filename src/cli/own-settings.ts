import { type Config, ConfigProblems, loadConfig } from '../config.ts';
import { UsageProblems } from './usage-problems.ts';

/** The config for commands that serve nothing: it may be without a contract, and none is loaded. @throws UsageProblems */
export function readOwnSettings(): Config {
  try {
    return loadConfig({ defaultSources: [process.cwd()] }).config;
  } catch (error) {
    throw error instanceof ConfigProblems ? new UsageProblems(error.problems) : error;
  }
}
