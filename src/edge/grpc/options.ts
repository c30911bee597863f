/** How the gRPC edge listens, and its bounds. */
export interface GrpcOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Of one request message, also after decompression. */
  readonly maxMessageBytes: number;
  /** Of one response message. Clients take 4 MiB unless they say otherwise. */
  readonly maxResultBytes: number;
  /** Names and values of a request's metadata together. */
  readonly maxMetadataBytes: number;
  readonly maxMetadataEntries: number;
  /** More are closed as soon as they come. */
  readonly maxConnections: number;
  /** Open calls of one connection; a client queues what is above. */
  readonly maxConcurrentStreams: number;
  /** A connection that says nothing for so long is asked whether it lives … */
  readonly keepaliveTimeMs: number;
  /** … and closed where it does not say so in this time. */
  readonly keepaliveTimeoutMs: number;
  /** A connection is asked to go after this time, ±10 %, so that callers spread over new instances … */
  readonly maxConnectionAgeMs: number;
  /** … and its open calls are cut off after this one. */
  readonly maxConnectionAgeGraceMs: number;
  /** A connection without calls is closed after this time. */
  readonly maxConnectionIdleMs: number;
  /** The longest WaitOperation; a longer one answers with the newest state at its end. */
  readonly maxOperationWaitMs: number;
}

const MINUTE_MS = 60_000;

export const GRPC_DEFAULTS: GrpcOptions = Object.freeze({
  host: '127.0.0.1',
  port: 50_051,
  maxMessageBytes: 768 * 1024,
  maxResultBytes: 4 * 1024 * 1024,
  maxMetadataBytes: 16 * 1024,
  maxMetadataEntries: 100,
  maxConnections: 10_000,
  maxConcurrentStreams: 1000,
  keepaliveTimeMs: MINUTE_MS,
  keepaliveTimeoutMs: 20_000,
  maxConnectionAgeMs: 30 * MINUTE_MS,
  maxConnectionAgeGraceMs: 10 * MINUTE_MS,
  maxConnectionIdleMs: 15 * MINUTE_MS,
  maxOperationWaitMs: 5 * MINUTE_MS,
});
