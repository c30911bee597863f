// What a transport gives the load.

/** Makes one call whose text is `text` and throws unless the answer carries it; `Refused` where it may come again. */
export type MakeCall = (text: string) => Promise<void>;

export interface LoadClient {
  /** One caller: what it calls does not overlap. */
  openCaller(): Promise<MakeCall>;
  close(): void;
}

/** The gateway has as much as it may hold: an answer, not an error, to a load that is faster than what is behind it. */
export class Refused extends Error {
  readonly retryAfterSeconds: number;

  constructor(retryAfterSeconds: number) {
    super(`refused for ${retryAfterSeconds} s`);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}
