/** What `sluice check` says beside the problems of config and contract by themselves: what `sluice start` would refuse. */
import { findSharedTopics } from '../channel/own-topics.ts';
import type { Config } from '../config.ts';
import type { Contract } from '../contract/contract.ts';
import { commandTopicsOf, ownTopicsOf, replyTopicOf } from '../stack.ts';

/** In the embedded stack each boot has a reply topic of its own, so any boot's will do. */
const ANY_BOOT = 'boot';

/** A line each; empty where nothing is wrong. */
export function findTopicProblems(config: Config, contract: Contract): readonly string[] {
  return findSharedTopics(ownTopicsOf(config, replyTopicOf(config, ANY_BOOT)), commandTopicsOf(contract));
}
