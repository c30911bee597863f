import {
  collectDefaultMetrics,
  Gauge,
  Counter as PromCounter,
  Histogram as PromHistogram,
  Registry,
} from 'prom-client';

/** Label values in the order of the names given at creation. Values come from closed sets, never from callers. */
export interface Counter {
  add(count: number, ...labels: string[]): void;
  /** Its own child for these label values: for where counting is on the path of every call. */
  bind(...labels: string[]): BoundCounter;
}

export interface BoundCounter {
  add(count: number): void;
}

export interface Histogram {
  observe(value: number, ...labels: string[]): void;
  bind(...labels: string[]): BoundHistogram;
}

export interface BoundHistogram {
  observe(value: number): void;
}

/**
 * Prometheus instruments. A folder creates its own at start; names begin with `sluice_` and end in their unit. Asked for
 * a counter or a histogram that there is already, with the same labels, it gives that one: the edges share theirs.
 */
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

export interface MetricsOptions {
  /**
   * With what the process itself uses: CPU, memory, garbage collection, lag of the event loop. For the one registry of a
   * process that ends with it: what measures them is never stopped.
   */
  readonly withProcess?: boolean;
}

/** One registry a gateway, so that two gateways in one process do not share counts. */
export function createMetrics(options: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  if (options.withProcess) collectDefaultMetrics({ register: registry });
  const counters = new Map<string, Counter>();
  const histograms = new Map<string, Histogram>();
  return {
    counter(name, help, labelNames = []) {
      const known = counters.get(name);
      if (known) return known;
      const counter = new PromCounter({ name, help, labelNames: [...labelNames], registers: [registry] });
      const children = new ChildCache((labels) => counter.labels(...labels));
      const made: Counter = {
        add: (count, ...labels) => children.get(labels).inc(count),
        bind(...labels) {
          const child = children.get(labels);
          return { add: (count) => child.inc(count) };
        },
      };
      counters.set(name, made);
      return made;
    },
    histogram(name, help, labelNames = []) {
      const known = histograms.get(name);
      if (known) return known;
      const histogram = new PromHistogram({
        name,
        help,
        labelNames: [...labelNames],
        buckets: BUCKETS_SECONDS,
        registers: [registry],
      });
      const children = new ChildCache((labels) => histogram.labels(...labels));
      const made: Histogram = {
        observe: (value, ...labels) => children.get(labels).observe(value),
        bind(...labels) {
          const child = children.get(labels);
          return { observe: (value) => child.observe(value) };
        },
      };
      histograms.set(name, made);
      return made;
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
