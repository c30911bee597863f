import type { Config } from '../config.ts';

/** What `loadContract` is told by a config. */
export function contractOptionsOf({ contract, kafka, http }: Config) {
  return {
    sources: contract.sources,
    policies: contract.policies,
    unboundMethods: contract.unboundMethods,
    topicNamespace: kafka.namespace,
    basePath: http.basePath,
    maxDepth: http.maxJsonDepth,
  };
}
