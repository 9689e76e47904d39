/** The page of one concept. */

import { boundOfOne } from "./bound";
import { Choice, Concept, useView } from "./choice";
import { circuitsOf, conceptFraction, decompose, keywordNeurons } from "./circuits";
import { rowsOf } from "./data";
import { Figure } from "./figure";
import { intervals, type Interval } from "./intervals";
import { NeuronList } from "./neurons";
import { go, link } from "./place";
import { Prompts, ReadMarks } from "./prompts";
import { measured, qualityOf, withInterval, YARDSTICKS } from "./quality";
import { Strip, type Mark } from "./strip";
import { DataTable, TakeCsv } from "./table";
import { ConceptWiring } from "./wiring";
import { bare, definitionName, fixed, kindName, percent, rounded, several, signed } from "./words";

function Neurons({ name, at }: { name: string; at: number }) {
  const { atlas, circuits, keywords, definition, place } = useView();
  const circuit = circuits.neurons[at]!;
  const keyword = keywordNeurons(keywords, name);
  const own = new Set(circuit);
  const others = new Set(keyword);
  const marks: Mark[] = [...circuit].map((neuron) => ({
    neuron,
    kind: keyword && others.has(neuron) ? "both" : "only",
  }));
  for (const neuron of keyword ?? []) if (!own.has(neuron)) marks.push({ neuron, kind: "other" });
  const held = circuits.held();
  const parts = keyword && decompose(circuit, keyword, atlas);
  const only = parts?.only.reduce((sum, n) => sum + n, 0) ?? 0;
  const legend: { kind: Mark["kind"]; words: string }[] = keyword
    ? [
        { kind: "only", words: "the concept alone" },
        { kind: "both", words: "also its keyword" },
        { kind: "other", words: "its keyword alone" },
      ]
    : [{ kind: "only", words: "in the circuit" }];
  return (
    <>
      <Strip
        title="Neurons of the circuit"
        name={`neurons_${name}`}
        alt={`${several(circuit.length, "neuron")}, by layer ${circuits.sizes(at).join(", ")}${parts ? `; ${only} of them not in the circuit of the keyword` : ""}.`}
        layers={atlas.layers}
        width={atlas.width}
        marks={marks}
        legend={legend}
        say={(neuron) =>
          `Layer ${Math.floor(neuron / atlas.width)}, neuron ${neuron % atlas.width}: ${
            own.has(neuron) ? (others.has(neuron) ? "in the circuit, and in its keyword’s" : "in the circuit") : "in the keyword’s circuit alone"
          }; held by ${several(held[neuron]!, "concept")}.`
        }
        place={place}
      >
        {circuit.length
          ? `A row per layer, a mark per neuron; on the right, how many of the circuit there are. `
          : `By this definition the concept has no neuron: ${definitionName(definition)}. `}
        {parts
          ? `${only} of ${circuit.length} do not fire for the keyword alone. (The concept fraction, ${percent(conceptFraction(parts))}, is the mean of their share over layers, 0 where the circuit is empty.) Being in a circuit says that a neuron fires on these prompts, not that it causes anything.`
          : keywords
            ? "The concept has no keyword to compare with."
            : "Keywords are compared at the settings of the published definition only."}
      </Strip>
      <NeuronList neurons={circuit} words="These neurons" name={`list_${name}`} />
    </>
  );
}

function Nearest({ at }: { at: number }) {
  const { atlas, circuits, place } = useView();
  const name = atlas.concepts[at]!;
  const rows = circuits.nearest(at);
  return (
    <section>
      <h2>Nearest concepts</h2>
      <ol class="nearest">
        {rows.slice(0, 10).map((row) => {
          const other = atlas.concepts[row.concept]!;
          return (
            <li>
              <Concept name={other} />
              <span class="bar" aria-hidden="true">
                <span style={`width: ${100 * row.similarity}%`} />
              </span>
              <span class="value">{fixed(row.similarity)}</span>
              <a class="beside" href={link({ pair: name, with: other }, place)}>
                side by side<span class="unseen"> with {bare(other)}</span>
              </a>
            </li>
          );
        })}
      </ol>
      <TakeCsv
        caption="all concepts by their similarity"
        name={`nearest_${name}`}
        columns={["concept", "similarity"]}
        rows={() => rows.map((row) => [atlas.concepts[row.concept]!, rounded(row.similarity)])}
      />
      <p class="note">
        Jaccard similarity |A∩B| / |A∪B| of the circuits, mean over layers.{" "}
        {boundOfOne(circuits, at)} Circuits that share a core are alike whatever the concepts are.
      </p>
    </section>
  );
}

function Yardsticks({ name }: { name: string }) {
  const { atlas, definition } = useView();
  const row = qualityOf(atlas, definition, name);
  const sticks = measured(row);
  if (!atlas.tables.quality)
    return <p class="note">The circuits of this atlas were not judged.</p>;
  if (!row || !sticks.length)
    return <p class="note">No yardstick was taken of {definitionName(definition)}.</p>;
  const rows: Interval[] = sticks
    .filter((stick) => stick.interval)
    .map((stick) => ({
      label: stick.label,
      value: row[stick.name] as number,
      low: (row[`${stick.name}_low`] as number | null) ?? null,
      high: (row[`${stick.name}_high`] as number | null) ?? null,
    }));
  const told = rows.some((each) => each.low !== null);
  const takes = atlas.intervals;
  const least = takes
    ? `, which takes ${takes.prompts} own prompts of ${takes.clusters} pairs and subject areas (the job validate runs up to ${takes.validated} prompts)`
    : "";
  return (
    <>
      {rows.length > 0 && (
        <Figure
          title="Without the circuit"
          name={`ablation_${name}`}
          alt={rows.map((each) => `${each.label} ${signed(each.value)}`).join(", ")}
          deps={[row]}
          draw={(width) => ({
            ...intervals(rows, width, "nats per token →", (each) => (each.low ?? 0) > 0),
            height: 154,
          })}
        >
          {told
            ? "With 95% intervals over pairs and subject areas, coloured where above 0, from "
            : `Without an interval${least}, from `}
          {several(Number(row.n_prompts ?? 0), "own prompt")} of {Number(row.n_clusters ?? 0)}. A cost on own prompts alone (necessity) is no evidence of a concept: removing any
          strong neurons costs something.
        </Figure>
      )}
      <DataTable
        caption="Yardsticks"
        name={`yardsticks_${name}`}
        sortable={false}
        rows={sticks}
        columns={[
          {
            label: "yardstick",
            value: (stick) => stick.label,
            show: (stick) => (
              <>
                {stick.label}
                <small>{stick.meaning}</small>
              </>
            ),
          },
          { label: "value", numeric: true, value: (stick) => row[stick.name] ?? null, show: (stick) => withInterval(row, stick) },
        ]}
      />
    </>
  );
}

function Decomposition({ name, at }: { name: string; at: number }) {
  const { atlas, circuits, keywords } = useView();
  const keyword = keywordNeurons(keywords, name);
  if (!keyword) return null;
  const parts = decompose(circuits.neurons[at]!, keyword, atlas);
  const rows = parts.only.map((only, layer) => ({
    layer,
    only,
    both: parts.both[layer]!,
    keyword: parts.keyword[layer]!,
  }));
  return (
    <section>
      <h2>Against its keyword</h2>
      <DataTable
        caption="Neurons by layer"
        name={`decomposition_${name}`}
        sortable={false}
        rows={rows}
        columns={[
          { label: "layer", value: (row) => row.layer },
          { label: "concept alone", numeric: true, value: (row) => row.only },
          { label: "both", numeric: true, value: (row) => row.both },
          { label: "keyword alone", numeric: true, value: (row) => row.keyword },
          { label: "concept fraction", numeric: true, value: (row) => rounded(row.only / (row.only + row.both || 1)), show: (row) => percent(row.only / (row.only + row.both || 1)) },
        ]}
      />
    </section>
  );
}

/** How many neurons the circuit has by every definition and setting. */
function Everywhere({ name, at }: { name: string; at: number }) {
  const { atlas } = useView();
  const of = new Map(rowsOf(atlas, "quality").filter((row) => row.concept === name).map((row) => [row.definition, row]));
  return (
    <section>
      <h2>By every definition</h2>
      <DataTable
        caption="The circuit by every definition"
        name={`definitions_${name}`}
        rows={atlas.definitions}
        columns={[
          { label: "definition", value: (each) => each.key, show: (each) => <a href={link({ concept: name, at: each.key }, {})}>{definitionName(each)}</a> },
          { label: "neurons", numeric: true, value: (each) => circuitsOf(atlas, each).size(at) },
          ...YARDSTICKS.filter((stick) => ["specificity", "identification_top1"].includes(stick.name)).map((stick) => ({
            label: stick.label,
            numeric: true,
            title: stick.meaning,
            value: (each: { key: string }) => of.get(each.key)?.[stick.name] ?? null,
            show: (each: { key: string }) => stick.show(of.get(each.key)?.[stick.name] ?? null),
          })),
        ]}
      />
    </section>
  );
}

export function ConceptPage({ name }: { name: string }) {
  const { atlas, circuits, place } = useView();
  const at = atlas.concepts.indexOf(name);
  if (at < 0)
    return (
      <>
        <h1>No such concept</h1>
        <p>
          This atlas has no concept {name}. <a href={link({ page: "concepts" }, place)}>All concepts</a>
        </p>
      </>
    );
  const step = (by: number): string => {
    const n = atlas.concepts.length;
    return link({ concept: atlas.concepts[(at + by + n) % n]! }, place);
  };
  return (
    <>
      <header class="concept-head">
        <p class="above">
          {kindName(name)} · <code>{name}</code>
        </p>
        <h1>{bare(name)}</h1>
        <p>
          {several(circuits.size(at), "neuron")} of {(atlas.layers * atlas.width).toLocaleString("en")}
        </p>
        <nav class="steps" aria-label="Neighbouring concepts">
          <a href={step(-1)} rel="prev">← previous</a>
          <a href={step(1)} rel="next">next →</a>
          <form
            onSubmit={(event) => {
              event.preventDefault();
              go(link({ pair: name, with: new FormData(event.currentTarget).get("with") as string }, place));
            }}
          >
            <label>
              side by side with{" "}
              <select name="with">
                {atlas.concepts.filter((other) => other !== name).map((other) => (
                  <option value={other}>{bare(other)}</option>
                ))}
              </select>
            </label>{" "}
            <button>show</button>
          </form>
        </nav>
      </header>
      <Choice />
      <Neurons name={name} at={at} />
      <div class="columns">
        <Nearest at={at} />
        <section>
          <h2>Specific, faithful?</h2>
          <Yardsticks name={name} />
        </section>
      </div>
      <div class="columns">
        <Decomposition name={name} at={at} />
        <Everywhere name={name} at={at} />
      </div>
      <ConceptWiring name={name} at={at} />
      <section>
        <h2>Prompts</h2>
        <ReadMarks />
        <Prompts concept={name} />
      </section>
    </>
  );
}
