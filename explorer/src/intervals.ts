/** Values with their 95% intervals, as dots on lines. */

import { Plot } from "./figure";

export interface Interval {
  label: string;
  value: number;
  low: number | null;
  high: number | null;
  group?: string;
}

export function intervals(
  rows: Interval[],
  width: number,
  axis: string,
  emphasised: (row: Interval) => boolean = () => true,
): Plot.PlotOptions {
  const grouped = rows.some((row) => row.group !== undefined);
  const colour = (row: Interval): string => (emphasised(row) ? "var(--accent)" : "var(--mid)");
  const facet = grouped ? { fy: (row: Interval) => row.group } : {};
  return {
    marginLeft: Math.min(150, width * 0.34),
    marginRight: 20,
    marginBottom: 42,
    height: rows.length * 26 + 64,
    x: { label: axis, labelOffset: 38, grid: true, nice: true, ticks: width < 500 ? 4 : 8 },
    y: { label: null, domain: [...new Set(rows.map((row) => row.label))], tickSize: 0 },
    fy: { label: null, padding: 0.12 },
    marks: [
      Plot.ruleX([0], { stroke: "var(--ink)", strokeWidth: 1 }),
      Plot.ruleY(
        rows.filter((row) => row.low !== null && row.high !== null),
        { y: "label", x1: "low", x2: "high", stroke: colour, strokeWidth: 2, ...facet },
      ),
      Plot.dot(rows, { y: "label", x: "value", r: 4.5, fill: colour, ...facet }),
    ],
  };
}
