export { formatMetrics, Histogram, type Labels, type Metric, type Sample } from "./format.ts";
export { type MetricsServerOptions, serveMetrics } from "./serve.ts";
