import { expect, test } from "bun:test";
import { formatMetrics, Histogram } from "./format.ts";

test("formatMetrics() escapes what a line can't hold", () => {
  const text = formatMetrics([
    { name: "b_info", help: "a \\ and\na line", type: "gauge", read: () => [{ labels: { os: 'the "best"\n\\' }, value: 1 }] },
    { name: "a_total", help: "counts", type: "counter", read: () => [{ value: 1e21 }] },
  ]);
  expect(text).toBe(
    "# HELP a_total counts\n# TYPE a_total counter\na_total 1e+21\n" +
      '# HELP b_info a \\\\ and\\na line\n# TYPE b_info gauge\nb_info{os="the \\"best\\"\\n\\\\"} 1\n',
  );
});

test("a histogram's buckets hold what is at most their bound", () => {
  const histogram = new Histogram("t_seconds", "takes", { name: "action", values: ["idle"] });
  for (const seconds of [0.005, 0.3, 60]) histogram.observe("start", seconds);
  const lines = formatMetrics([histogram]).split("\n");
  expect(lines).toContain('t_seconds_bucket{action="start",le="0.005"} 1');
  expect(lines).toContain('t_seconds_bucket{action="start",le="0.25"} 1');
  expect(lines).toContain('t_seconds_bucket{action="start",le="0.5"} 2');
  expect(lines).toContain('t_seconds_bucket{action="start",le="10"} 2');
  expect(lines).toContain('t_seconds_bucket{action="start",le="+Inf"} 3');
  expect(lines).toContain('t_seconds_sum{action="start"} 60.305');
  expect(lines).toContain('t_seconds_count{action="start"} 3');
  // as dockerd's: known from the start
  expect(lines).toContain('t_seconds_bucket{action="idle",le="0.005"} 1');
  expect(lines).toContain('t_seconds_count{action="idle"} 1');
});
