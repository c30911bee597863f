/** Tells that operations have changed, wherever they were settled: a hint, never the truth, and it may fail to come. */
export interface ChangeHints {
  /** Goes on in the background until `stop`. `onChanged` is called with ids of operations that have changed. */
  start(onChanged: (operationIds: readonly string[]) => void): void;
  /**
   * Null while hints are known to come (one to ourselves came back lately); else why they may not: waiting requests then
   * learn of what other instances settle by reading once a second alone.
   */
  trouble(): string | null;
  stop(): Promise<void>;
}
