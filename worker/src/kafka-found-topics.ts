import type { Kafka } from 'kafkajs';
import { askAnew } from './kafka-connection.ts';
import type { Logger } from './log.ts';

export interface FoundTopicsOptions {
  readonly kafka: Pick<Kafka, 'admin'>;
  readonly topics: readonly string[];
  readonly group: string;
  readonly logger: Logger;
}

/**
 * Which topics of a consumer are there, and may be seen. One that is not fails all that kafkajs 2.2.4 does with the others, so a consumer
 * that is built again leaves it out until it is there again.
 */
export class FoundTopics {
  readonly #options: FoundTopicsOptions;
  #missing: readonly string[] = [];

  constructor(options: FoundTopicsOptions) {
    this.#options = options;
  }

  /** As of the last look. */
  get known(): readonly string[] {
    return this.#options.topics.filter((topic) => !this.#missing.includes(topic));
  }

  /** Looks. At least one is there. @throws Error that names them where none is, and what kafkajs throws where it cannot ask */
  async find(): Promise<readonly string[]> {
    const { topics, group, logger } = this.#options;
    const missing = await this.#listMissing();
    if (missing.length > 0 && missing.join() !== this.#missing.join()) {
      logger.warn({ group, topics: missing }, 'topics are gone or barred: they are read again once they are there');
    }
    this.#missing = missing.length < topics.length ? missing : [];
    if (missing.length === topics.length) throw new Error(`topics missing: ${missing.join(', ')}`);
    return this.known;
  }

  /** Whether one that was left out is there now, and belongs to the known ones again. False where nobody answers. */
  async isOneBack(): Promise<boolean> {
    if (this.#missing.length === 0) return false;
    const missing = await this.#listMissing().catch(() => this.#missing);
    const back = this.#missing.filter((topic) => !missing.includes(topic));
    if (back.length === 0) return false;
    this.#options.logger.info({ group: this.#options.group, topics: back }, 'topics are there again');
    this.#missing = this.#missing.filter((topic) => !back.includes(topic));
    return true;
  }

  async #listMissing(): Promise<string[]> {
    const there = new Set(await askAnew(this.#options.kafka, (admin) => admin.listTopics()));
    return this.#options.topics.filter((topic) => !there.has(topic));
  }
}
