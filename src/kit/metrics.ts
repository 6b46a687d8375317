// Counters, gauges and histograms in the Prometheus text format.
// Invariant: every label value comes from a closed or configured set (zone, engine, model, code), so cardinality stays bounded.

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  add(value?: number, labels?: Labels): void;
}
export interface Gauge {
  set(value: number, labels?: Labels): void;
}
export interface Histogram {
  /** In the unit that the metric's name ends with. */
  observe(value: number, labels?: Labels): void;
}
export interface Metrics {
  counter(name: string, help: string): Counter;
  gauge(name: string, help: string): Gauge;
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
  /** Read at scrape time, for values that live elsewhere. */
  observed(name: string, help: string, read: () => number): void;
  render(): string;
}

/** Seconds; the buckets vLLM uses for time to first token, widened at both ends. */
export const LATENCY_BUCKETS_S = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 30, 60, 120,
] as const;

const NONE: Labels = {};
const texts = new WeakMap<Labels, string>();

/** Written out once for labels that are kept and used again. */
function labelText(labels: Labels): string {
  let text = texts.get(labels);
  if (text === undefined) {
    text = writeLabels(labels);
    texts.set(labels, text);
  }
  return text;
}

function writeLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) =>
      `${name}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

type Render = () => string;

function scalar(name: string, help: string, type: "counter" | "gauge") {
  const values = new Map<string, number>();
  const render: Render = () =>
    [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} ${type}`,
      ...[...values].map(([key, value]) => `${name}${key} ${value}`),
    ].join("\n");
  return { values, render };
}

interface Buckets {
  readonly labels: Labels;
  readonly counts: number[];
  sum: number;
  total: number;
}

function histogramOf(name: string, help: string, bounds: readonly number[]) {
  const series = new Map<string, Buckets>();
  const observe = (value: number, labels: Labels = NONE) => {
    const key = labelText(labels);
    let buckets = series.get(key);
    if (!buckets) {
      buckets = { labels, counts: bounds.map(() => 0), sum: 0, total: 0 };
      series.set(key, buckets);
    }
    buckets.sum += value;
    buckets.total += 1;
    const index = bounds.findIndex((bound) => value <= bound);
    if (index >= 0) buckets.counts[index] = (buckets.counts[index] ?? 0) + 1;
  };
  const render: Render = () => {
    const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
    for (const [key, buckets] of series) {
      let cumulative = 0;
      bounds.forEach((bound, index) => {
        cumulative += buckets.counts[index] ?? 0;
        lines.push(
          `${name}_bucket${labelText({ ...buckets.labels, le: String(bound) })} ${cumulative}`,
        );
      });
      lines.push(`${name}_bucket${labelText({ ...buckets.labels, le: "+Inf" })} ${buckets.total}`);
      lines.push(`${name}_sum${key} ${buckets.sum}`, `${name}_count${key} ${buckets.total}`);
    }
    return lines.join("\n");
  };
  return { observe, render };
}

export function openMetrics(): Metrics {
  const renders: Render[] = [];
  return {
    counter: (name, help) => {
      const { values, render } = scalar(name, help, "counter");
      renders.push(render);
      return {
        add: (value = 1, labels = NONE) => {
          const key = labelText(labels);
          values.set(key, (values.get(key) ?? 0) + value);
        },
      };
    },
    gauge: (name, help) => {
      const { values, render } = scalar(name, help, "gauge");
      renders.push(render);
      return { set: (value, labels = NONE) => void values.set(labelText(labels), value) };
    },
    histogram: (name, help, buckets) => {
      const { observe, render } = histogramOf(name, help, buckets);
      renders.push(render);
      return { observe };
    },
    observed: (name, help, read) => {
      renders.push(() =>
        [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, `${name} ${read()}`].join("\n"),
      );
    },
    render: () => `${renders.map((render) => render()).join("\n")}\n`,
  };
}
