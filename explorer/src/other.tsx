/** Another atlas, opened from its exported JSON or its page, beside this one. */

import { useState } from "preact/hooks";
import { Apart, called, grids, whereItLies, type Named } from "./apart";
import { Choice, Concept, useView, viewOf } from "./choice";
import { readAtlas } from "./data";
import { Figure, Plot } from "./figure";
import { save } from "./save";
import { DataTable } from "./table";
import { bare, definitionName, fixed, rounded, several } from "./words";

const MOST_BYTES = 64 * 2 ** 20;

interface Row {
  concept: string;
  here: number;
  there: number;
  similarity: number | null;
}

function ranks(values: number[]): number[] {
  const order = values.map((_, at) => at).sort((a, b) => values[a]! - values[b]!);
  const found = new Array<number>(values.length);
  for (let at = 0; at < order.length; ) {
    let end = at;
    while (end < order.length && values[order[end]!] === values[order[at]!]) end++;
    for (let each = at; each < end; each++) found[order[each]!] = (at + end - 1) / 2;
    at = end;
  }
  return found;
}

/** Spearman’s correlation; none where one side is constant. */
function correlation(left: number[], right: number[]): number | null {
  const [a, b] = [ranks(left), ranks(right)];
  const mean = (a.length - 1) / 2;
  let [ab, aa, bb] = [0, 0, 0];
  a.forEach((value, at) => {
    ab += (value - mean) * (b[at]! - mean);
    aa += (value - mean) ** 2;
    bb += (b[at]! - mean) ** 2;
  });
  return aa && bb ? ab / Math.sqrt(aa * bb) : null;
}

function Beside({ there: { atlas: other, where } }: { there: Named }) {
  const { atlas, circuits, definition, place } = useView();
  const both: [Named, Named] = [{ atlas, where: whereItLies() }, { atlas: other, where }];
  const [[ours, its], [grid, itsGrid]] = [called(...both), grids(...both)];
  const view = viewOf(other, { ...place, at: definition.key });
  const theirs = view?.definition.key === definition.key ? view.circuits : null;
  if (!theirs)
    return <p>The other atlas ({where}) has no circuits {definitionName(definition)}; choose others above.</p>;
  const common = atlas.concepts.flatMap((concept, here) => {
    const there = other.concepts.indexOf(concept);
    return there < 0 ? [] : [{ concept, here, there }];
  });
  if (!common.length) return <p>The two atlases have no concept in common.</p>;
  const same = atlas.layers === other.layers && atlas.width === other.width;
  const rows = common.map(({ concept, here, there }): Row => {
    const [left, right] = [new Set(circuits.neurons[here]), theirs.neurons[there]!];
    const both = [...right].filter((neuron) => left.has(neuron)).length;
    const either = left.size + right.length - both;
    return { concept, here: left.size, there: right.length, similarity: same ? rounded(both / (either || 1)) : null };
  });
  const pairs = (of: Float32Array, n: number, at: "here" | "there"): number[] =>
    common.flatMap((a, place) => common.slice(place + 1).map((b) => of[a[at] * n + b[at]]!));
  const alike = correlation(
    pairs(circuits.similarity(), circuits.n, "here"),
    pairs(theirs.similarity(), theirs.n, "there"),
  );
  return (
    <>
      <p>
        {several(common.length, "concept")} in common, circuits {definitionName(definition)}.{" "}
        {alike !== null && (
          <>
            Which concepts are alike here and there: Spearman correlation{" "}
            <strong>{fixed(alike)}</strong> over every two of them.
          </>
        )}
      </p>
      <Figure
        title="Neurons of each circuit, here and there"
        name="two_atlases"
        alt={`Sizes of ${common.length} circuits in both atlases.`}
        deps={[other, circuits]}
        draw={(width) => ({
          height: Math.min(width, 420),
          marginLeft: 48,
          grid: true,
          marginBottom: 44,
          x: { label: `neurons in ${ours}${width < 600 ? "" : grid} →`, labelOffset: 40 },
          y: { label: `↑ neurons in ${its}${width < 600 ? "" : itsGrid}` },
          marks: [
            Plot.line([[0, 0], [1, 1].map((one) => one * Math.max(...rows.map((row) => Math.min(row.here, row.there))))] as [number, number][], { stroke: "var(--mid)" }),
            Plot.dot(rows, { x: "here", y: "there", fill: "var(--accent)", fillOpacity: 0.5, r: 4, tip: true, title: (row: Row) => `${bare(row.concept)}: ${row.here} and ${row.there}` }),
          ],
        })}
      >
        A dot per concept; equal sizes lie on the line. Neurons of two models do not correspond
        {same ? ", so shared numbers mean something only where one model follows from the other" : ""}.
      </Figure>
      <DataTable
        caption="Concepts of both atlases"
        name="two_atlases"
        rows={rows}
        columns={[
          { label: "concept", value: (row) => bare(row.concept), show: (row) => <Concept name={row.concept} /> },
          { label: `neurons in ${ours}${grid}`, numeric: true, value: (row) => row.here },
          { label: `neurons in ${its}${itsGrid}`, numeric: true, value: (row) => row.there },
          ...(same ? [{ label: "Jaccard", numeric: true, value: (row: Row) => row.similarity, show: (row: Row) => fixed(row.similarity) }] : []),
        ]}
      />
    </>
  );
}

/** The atlas that was opened; it stays while the page is open. */
let opened: Named | null = null;

/** Named after the folder, which tells atlases of one model apart. */
function exportName(model: string): string {
  const where = whereItLies().replace(/\.html?$/i, "");
  return where || model;
}

export function OtherPage({ text }: { text: () => string }) {
  const { atlas } = useView();
  const [other, setOther] = useState(opened);
  const [refused, setRefused] = useState("");
  const open = async (file: File | undefined): Promise<void> => {
    if (!file) return;
    setRefused("");
    try {
      if (file.size > MOST_BYTES) throw new Error("it is larger than 64 MiB");
      opened = { atlas: readAtlas(await file.text()), where: file.name };
      setOther(opened);
    } catch (error) {
      opened = null;
      setOther(null);
      setRefused(`${file.name} cannot be opened: ${(error as Error).message}. Expected the JSON that another atlas’s page exports, or that page itself.`);
    }
  };
  return (
    <>
      <h1>Another atlas beside this one</h1>
      <p>
        Export this atlas as one JSON file, and open that of another: of another model, another
        step of training, other prompts. Nothing leaves this computer.
      </p>
      <form class="filter" onSubmit={(event) => event.preventDefault()}>
        <button type="button" onClick={() => save(`atlas_${exportName(atlas.model)}.json`, text(), "application/json")}>
          Export this atlas (JSON)
        </button>
        <label>
          Open another{" "}
          <input type="file" accept=".json,.html,application/json,text/html" onChange={(event) => void open(event.currentTarget.files?.[0])} />
        </label>
      </form>
      <p role="status" class="note">
        {refused || (other ? `Opened: ${other.where}, an atlas of ${other.atlas.model}, ${several(other.atlas.concepts.length, "concept")}, ${several(other.atlas.layers, "layer")} of ${several(other.atlas.width, "neuron")}.` : "")}
      </p>
      {other && (
        <>
          <Apart here={{ atlas, where: whereItLies() }} there={other} />
          <Choice />
          <Beside there={other} />
        </>
      )}
    </>
  );
}
