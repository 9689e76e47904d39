/** Two concepts side by side. */

import { boundOfTwo } from "./bound";
import { Choice, Concept, useView } from "./choice";
import { NeuronList } from "./neurons";
import { changed, go } from "./place";
import { Prompts, ReadMarks } from "./prompts";
import { measured, qualityOf, withInterval, YARDSTICKS } from "./quality";
import { Strip, type Mark } from "./strip";
import { DataTable } from "./table";
import { bare, fixed, rounded, several } from "./words";

export function PairPage({ left, right }: { left: string; right: string }) {
  const { atlas, circuits, definition, place } = useView();
  const [a, b] = [atlas.concepts.indexOf(left), atlas.concepts.indexOf(right)];
  const pick = (part: "pair" | "with", chosen: string) => (
    <select
      aria-label={part === "pair" ? "first concept" : "second concept"}
      value={chosen}
      onChange={(event) => go(changed(place, { [part]: event.currentTarget.value }))}
    >
      {!atlas.concepts.includes(chosen) && <option value={chosen}>choose</option>}
      {atlas.concepts.map((name) => (
        <option value={name}>{bare(name)}</option>
      ))}
    </select>
  );
  const heading = (
    <header>
      <h1>Two concepts side by side</h1>
      <p class="pick">
        {pick("pair", left)} and {pick("with", right)}
      </p>
    </header>
  );
  if (a < 0 || b < 0) return heading;
  const [one, other] = [new Set(circuits.neurons[a]), new Set(circuits.neurons[b])];
  const marks: Mark[] = [...new Set([...one, ...other])].map((neuron) => ({
    neuron,
    kind: one.has(neuron) ? (other.has(neuron) ? "both" : "only") : "other",
  }));
  const both = marks.filter((mark) => mark.kind === "both");
  const rows = Array.from({ length: atlas.layers }, (_, layer) => {
    const here = marks.filter((mark) => Math.floor(mark.neuron / atlas.width) === layer);
    const count = (kind: Mark["kind"]): number => here.filter((m) => m.kind === kind).length;
    return { layer, only: count("only"), both: count("both"), other: count("other"), similarity: rounded(circuits.jaccard(a, b, layer)) };
  });
  const [ours, theirs] = [left, right].map((name) => qualityOf(atlas, definition, name));
  const sticks = YARDSTICKS.filter((stick) =>
    [ours, theirs].some((row) => measured(row ?? null).includes(stick)),
  );
  return (
    <>
      {heading}
      <Choice />
      <Strip
        title={`${bare(left)} and ${bare(right)}`}
        name={`pair_${left}_${right}`}
        alt={`${one.size} and ${other.size} neurons, ${both.length} of them shared.`}
        layers={atlas.layers}
        width={atlas.width}
        marks={marks}
        legend={[
          { kind: "only", words: `${bare(left)} alone` },
          { kind: "both", words: "both" },
          { kind: "other", words: `${bare(right)} alone` },
        ]}
        say={(neuron) =>
          `Layer ${Math.floor(neuron / atlas.width)}, neuron ${neuron % atlas.width}: ${
            one.has(neuron) ? (other.has(neuron) ? "in both" : `${bare(left)} alone`) : `${bare(right)} alone`
          }.`
        }
        place={place}
      >
        {several(both.length, "neuron")} shared, of {one.size} and {other.size}: Jaccard similarity{" "}
        {fixed(circuits.similarity()[a * circuits.n + b])}, mean over layers.{" "}
        {boundOfTwo(circuits, a, b)}
        {one.size && both.length === one.size && both.length === other.size
          ? " By this definition the two concepts have one and the same circuit."
          : ""}
      </Strip>
      <div class="columns">
        <NeuronList neurons={circuits.neurons[a]!} words={`Neurons of ${bare(left)}`} name={`neurons_${left}`} />
        <NeuronList neurons={circuits.neurons[b]!} words={`Neurons of ${bare(right)}`} name={`neurons_${right}`} />
      </div>
      <DataTable
        caption="Neurons by layer"
        name={`pair_${left}_${right}`}
        rows={rows}
        columns={[
          { label: "layer", value: (row) => row.layer },
          { label: `${bare(left)} alone`, numeric: true, value: (row) => row.only },
          { label: "both", numeric: true, value: (row) => row.both },
          { label: `${bare(right)} alone`, numeric: true, value: (row) => row.other },
          { label: "similarity", numeric: true, value: (row) => row.similarity, show: (row) => fixed(row.similarity) },
        ]}
      />
      {sticks.length > 0 && (
        <DataTable
          caption="Yardsticks"
          name={`yardsticks_${left}_${right}`}
          sortable={false}
          rows={sticks}
          columns={[
            { label: "yardstick", value: (stick) => stick.label, title: "what it is stands on the concepts’ own pages" },
            { label: bare(left), numeric: true, value: (stick) => ours?.[stick.name] ?? null, show: (stick) => (ours ? withInterval(ours, stick) : "–") },
            { label: bare(right), numeric: true, value: (stick) => theirs?.[stick.name] ?? null, show: (stick) => (theirs ? withInterval(theirs, stick) : "–") },
          ]}
        />
      )}
      <h2>Prompts</h2>
      <ReadMarks />
      <div class="columns">
        {[left, right].map((name) => (
          <section>
            <h3>
              <Concept name={name} />
            </h3>
            <Prompts concept={name} />
          </section>
        ))}
      </div>
    </>
  );
}
