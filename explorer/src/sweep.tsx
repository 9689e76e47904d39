/** How circuits change with the setting (ε, C). */

import { useView } from "./choice";
import { circuitsOf, conceptFraction, decompose, keywordNeurons, keywordsOf } from "./circuits";
import type { Definition } from "./data";
import { Figure, layerTicks, Plot } from "./figure";
import { link } from "./place";
import { DataTable } from "./table";
import { percent } from "./words";
import { useMemo } from "preact/hooks";

interface Row {
  definition: Definition;
  epsilon: number;
  consistency: number;
  size: number;
  different: number;
  core: number;
  empty: number;
  fraction: number | null;
}

const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / (values.length || 1);

export function SweepPage() {
  const { atlas, place } = useView();
  const { rows, byLayer } = useMemo(() => {
    const settings = atlas.definitions.filter((each) => each.epsilon !== undefined);
    settings.sort((a, b) => a.epsilon! - b.epsilon! || a.consistency! - b.consistency!);
    const byLayer: { setting: string; epsilon: number; consistency: number; layer: number; size: number }[] = [];
    const rows = settings.map((definition): Row => {
      const circuits = circuitsOf(atlas, definition);
      const keywords = keywordsOf(atlas, definition);
      const held = circuits.held();
      const n = circuits.n;
      const fractions = atlas.concepts.flatMap((concept, at) => {
        const keyword = keywordNeurons(keywords, concept);
        return keyword ? [conceptFraction(decompose(circuits.neurons[at]!, keyword, atlas))] : [];
      });
      const { epsilon, consistency } = definition as { epsilon: number; consistency: number };
      const sizes = atlas.concepts.map((_, at) => circuits.sizes(at));
      for (let layer = 0; layer < atlas.layers; layer++)
        byLayer.push({ setting: `${epsilon}, ${consistency}`, epsilon, consistency, layer, size: mean(sizes.map((of) => of[layer]!)) });
      return {
        definition, epsilon, consistency,
        size: mean(atlas.concepts.map((_, at) => circuits.size(at))),
        different: circuits.different(),
        core: held.filter((count) => count * 10 >= n * 9).length,
        empty: circuits.neurons.filter((neurons) => !neurons.length).length,
        fraction: fractions.length ? mean(fractions) : null,
      };
    });
    return { rows, byLayer };
  }, [atlas]);
  const most = rows.reduce<Row | undefined>((a, b) => (a && a.different >= b.different ? a : b), undefined);
  if (rows.length < 2)
    return (
      <>
        <h1>The sweep</h1>
        <p>This atlas has circuits at one setting only.</p>
      </>
    );
  const consistencies = [...new Set(rows.map((row) => row.consistency))].sort((a, b) => a - b);
  const epsilons = new Set(rows.map((row) => row.epsilon)).size;
  const shade = (row: { consistency: number }): number =>
    0.35 + (0.65 * consistencies.indexOf(row.consistency)) / Math.max(1, consistencies.length - 1);
  return (
    <>
      <h1>The sweep</h1>
      <p>
        ε is the mean |readout| that a neuron of the circuit exceeds, C the share of prompts on
        which it fires. Most circuits differ at ε = {most?.epsilon}, C = {most?.consistency}:{" "}
        {most?.different} of {atlas.concepts.length}.{" "}
        {most && <a href={link({ page: "concepts", at: most.definition.key }, place)}>See them</a>}
      </p>
      <Figure
        title="Size of a circuit by layer"
        name="sweep_sizes"
        alt={rows.map((row) => `ε ${row.epsilon}, C ${row.consistency}: ${row.size.toFixed(0)} neurons`).join("; ")}
        deps={[rows]}
        draw={(width) => ({
          height: 260,
          marginLeft: 44,
          marginTop: 34,
          fx: { label: null, tickFormat: (value: number) => `ε = ${value}`, padding: 0.1 },
          x: { label: width < 500 ? null : "layer", tickFormat: String, ticks: layerTicks(atlas.layers, width / epsilons - 30) },
          y: { label: "neurons, mean", grid: true, zero: true },
          marks: [
            Plot.ruleY([0], { stroke: "var(--ink)" }),
            Plot.line(byLayer, { x: "layer", y: "size", fx: "epsilon", z: "setting", stroke: "var(--accent)", strokeWidth: 2, strokeOpacity: shade }),
            Plot.text(byLayer.filter((row) => row.epsilon === rows[0]!.epsilon), Plot.selectLast({ x: "layer", y: "size", fx: "epsilon", z: "setting", text: (row: { consistency: number }) => `C ${row.consistency}`, textAnchor: "end", dy: -8, fill: "var(--soft)" })),
          ],
        })}
      >
        Mean over all {atlas.concepts.length} concepts, published circuits. That circuits shrink as
        thresholds rise follows from how they are defined and is no finding about the model.
      </Figure>
      <DataTable
        caption="Circuits at every setting"
        name="sweep"
        rows={rows}
        columns={[
          { label: "setting", value: (row) => `ε ${row.epsilon}, C ${row.consistency}`, show: (row) => <a href={link({ page: "map", at: row.definition.key }, place)}>ε = {row.epsilon}, C = {row.consistency}</a> },
          { label: "neurons, mean", numeric: true, value: (row) => row.size, show: (row) => row.size.toFixed(1) },
          { label: "different circuits", numeric: true, value: (row) => row.different },
          { label: "in 90% of circuits", numeric: true, value: (row) => row.core },
          { label: "concepts without a neuron", numeric: true, value: (row) => row.empty },
          { label: "concept fraction, mean", numeric: true, value: (row) => row.fraction, show: (row) => (row.fraction === null ? "–" : percent(row.fraction, 1)) },
        ]}
      />
      {atlas.left_out.length > 0 && (
        <p class="note">Left out of this page for its size: {atlas.left_out.join("; ")}.</p>
      )}
    </>
  );
}

