/** What `sluice check` says beside the problems of config and contract by themselves: what `sluice start` would refuse. */
import { findSharedTopics } from '../channel/own-topics.ts';
import type { Config } from '../config.ts';
import type { Contract } from '../contract/contract.ts';
import { commandTopicsOf, topicsOnKafka } from '../stack.ts';

/** A line each; empty where nothing is wrong. */
export function findTopicProblems(config: Config, contract: Contract): readonly string[] {
  return findSharedTopics(topicsOnKafka(config), commandTopicsOf(contract));
}
