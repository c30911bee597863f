import { type ServerWritableStream, status } from '@grpc/grpc-js';
import { findOwnService, healthCheckRequestType, healthCheckResponseType } from '../../contract/own-messages.ts';
import type { RawCall, Respond } from './exchange.ts';
import { type OwnRegistration, registerOwn } from './own-service.ts';

const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;

type Watch = ServerWritableStream<Buffer, Buffer>;

/**
 * grpc.health.v1.Health (grpc/health/v1/health.proto): the whole server under the empty name, and each of its services.
 * All are as ready as the instance is. Asked every few seconds by platforms, so it is not logged.
 */
export class HealthService {
  readonly #services: ReadonlySet<string>;
  /** Bounded by connections and their streams. */
  readonly #watches = new Set<Watch>();
  #serving = false;

  /** @param services full names; the empty name is always known. */
  constructor(services: readonly string[]) {
    this.#services = new Set(['', ...services]);
  }

  register(): OwnRegistration {
    return registerOwn(findOwnService('grpc.health.v1.Health'), {
      Check: (raw: RawCall, respond: Respond) => this.#check(raw.request, respond),
      Watch: (watch: Watch) => this.#watch(watch),
    });
  }

  setServing(serving: boolean): void {
    if (this.#serving === serving) return;
    this.#serving = serving;
    for (const watch of this.#watches) this.#tell(watch);
  }

  /** Ends all watches: an open one would hold its connection open for ever. */
  endWatches(): void {
    for (const watch of this.#watches) refuse(watch, status.UNAVAILABLE, 'this instance takes no calls any more');
    this.#watches.clear();
  }

  #check(request: Buffer, respond: Respond): void {
    const service = readService(request);
    if (service === null) respond({ code: status.INVALID_ARGUMENT, details: NOT_A_REQUEST });
    else if (!this.#services.has(service)) respond({ code: status.NOT_FOUND, details: 'no such service' });
    else respond(null, this.#answer());
  }

  #watch(watch: Watch): void {
    const service = readService(watch.request);
    if (service === null) {
      refuse(watch, status.INVALID_ARGUMENT, NOT_A_REQUEST);
      return;
    }
    if (this.#services.has(service)) this.#tell(watch);
    else watch.write(healthCheckResponseType.encode({ status: SERVICE_UNKNOWN }));
    this.#watches.add(watch);
    watch.once('cancelled', () => {
      this.#watches.delete(watch);
      watch.end();
    });
  }

  #tell(watch: Watch): void {
    const service = readService(watch.request);
    if (service !== null && this.#services.has(service)) watch.write(this.#answer());
  }

  #answer(): Buffer {
    return healthCheckResponseType.encode({ status: this.#serving ? SERVING : NOT_SERVING });
  }
}

const NOT_A_REQUEST = 'the request is no grpc.health.v1.HealthCheckRequest';

function readService(bytes: Buffer): string | null {
  try {
    return healthCheckRequestType.decode(bytes).service;
  } catch {
    return null;
  }
}

function refuse(watch: Watch, code: number, details: string): void {
  watch.emit('error', { code, details });
}
