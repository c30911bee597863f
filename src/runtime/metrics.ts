import { Gauge, Counter as PromCounter, Histogram as PromHistogram, Registry } from 'prom-client';

/** Label values in the order of the names given at creation. Values come from closed sets, never from callers. */
export interface Counter {
  add(count: number, ...labels: string[]): void;
}

export interface Histogram {
  observe(value: number, ...labels: string[]): void;
}

/** Prometheus instruments. A folder creates its own at start; names begin with `sluice_` and end in their unit. */
export interface Metrics {
  counter(name: string, help: string, labelNames?: readonly string[]): Counter;
  /** Of seconds, in buckets from 1 ms to 60 s. */
  histogram(name: string, help: string, labelNames?: readonly string[]): Histogram;
  /** `read` is called at each scrape. */
  gauge(name: string, help: string, read: () => number): void;
  /** The exposition text and its content type. */
  render(): Promise<{ readonly text: string; readonly contentType: string }>;
}

const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** One registry a gateway, so that two gateways in one process do not share counts. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  return {
    counter(name, help, labelNames = []) {
      const counter = new PromCounter({ name, help, labelNames: [...labelNames], registers: [registry] });
      const children = new ChildCache((labels) => counter.labels(...labels));
      return { add: (count, ...labels) => children.get(labels).inc(count) };
    },
    histogram(name, help, labelNames = []) {
      const histogram = new PromHistogram({
        name,
        help,
        labelNames: [...labelNames],
        buckets: BUCKETS_SECONDS,
        registers: [registry],
      });
      const children = new ChildCache((labels) => histogram.labels(...labels));
      return { observe: (value, ...labels) => children.get(labels).observe(value) };
    },
    gauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers: [registry],
        collect() {
          this.set(read());
        },
      });
    },
    async render() {
      return { text: await registry.metrics(), contentType: registry.contentType };
    },
  };
}

/** prom-client hashes the labels at each use; a call counts several times, so the child is kept. */
class ChildCache<Child> {
  readonly #children = new Map<string, Child>();
  readonly #make: (labels: string[]) => Child;

  constructor(make: (labels: string[]) => Child) {
    this.#make = make;
  }

  get(labels: string[]): Child {
    const key = labels.length === 1 ? (labels[0] as string) : labels.join('\u0000');
    const known = this.#children.get(key);
    if (known) return known;
    const made = this.#make(labels);
    this.#children.set(key, made);
    return made;
  }
}
