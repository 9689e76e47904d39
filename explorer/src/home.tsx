/** What was found, in a few sentences with pictures. */

import { Choice, Concept, useView } from "./choice";
import { conceptFraction, decompose, keywordNeurons } from "./circuits";
import { readoutOf, rowsOf } from "./data";
import { Figure, layerTicks, Plot } from "./figure";
import { intervals } from "./intervals";
import { NeuronList } from "./neurons";
import { link } from "./place";
import { Strip } from "./strip";
import { definitionName, kindOf, percent, several } from "./words";

const OF_KIND: Record<string, string> = { ast: "AST nodes", builtin: "builtins", own: "concepts" };

function Shared() {
  const { atlas, circuits, definition, place } = useView();
  const held = circuits.held();
  const n = atlas.concepts.length;
  const marks = [...held].flatMap((count, neuron) =>
    count ? [{ neuron, kind: "held" as const, shade: 0.12 + (0.88 * count) / n }] : [],
  );
  const core = [...held].filter((count) => count * 10 >= n * 9).length;
  return (
    <>
    <Strip
      title="How many concepts hold each neuron"
      name="shared_neurons"
      alt={`Of ${held.length} neurons, ${marks.length} are in the circuit of some concept and ${core} in at least 90% of the ${n} circuits.`}
      layers={atlas.layers}
      width={atlas.width}
      marks={marks}
      legend={[{ kind: "held", words: "in circuits: the stronger, the more concepts" }]}
      say={(neuron) =>
        `Layer ${Math.floor(neuron / atlas.width)}, neuron ${neuron % atlas.width}: in ${held[neuron]} of ${n} circuits.`
      }
      place={place}
    >
      Circuits are {definitionName(definition)}. {several(core, "neuron")} of {held.length.toLocaleString("en")} are
      in at least 90% of the {n} circuits. A neuron that nearly all circuits hold says nothing of
      the prompt: it is no evidence of a concept, nor of code.
    </Strip>
    <NeuronList neurons={marks.map((mark) => mark.neuron)} words="These neurons" name="shared_neurons" />
    </>
  );
}

const PARTS = ["the concept alone", "also its keyword"];
const SHADES = ["var(--accent)", "var(--mid)"];

function Keyword() {
  const { atlas, circuits, definition, keywords } = useView();
  const rows: { layer: number; part: string; kind: string; share: number }[] = [];
  for (const kind of ["ast", "builtin", "own"]) {
    const parts = atlas.concepts.flatMap((concept, at) => {
      const keyword = kindOf(concept) === kind ? keywordNeurons(keywords, concept) : null;
      return keyword ? [decompose(circuits.neurons[at]!, keyword, atlas)] : [];
    });
    for (let layer = 0; parts.length > 0 && layer < atlas.layers; layer++) {
      const mean = (of: "only" | "both"): number =>
        parts.reduce((sum, each) => sum + each[of][layer]!, 0) / parts.length;
      rows.push(
        { layer, part: PARTS[0]!, kind: OF_KIND[kind]!, share: mean("only") },
        { layer, part: PARTS[1]!, kind: OF_KIND[kind]!, share: mean("both") },
      );
    }
  }
  if (!rows.length)
    return (
      <p class="note">
        There are no circuits of keywords {definition.epsilon === undefined ? "by this definition" : "in this atlas"}, so none is compared.
      </p>
    );
  const kinds = [...new Set(rows.map((row) => row.kind))];
  const most = rows.filter((row) => row.part === PARTS[0]);
  const peak = most.reduce((a, b) => (b.share > a.share ? b : a));
  return (
    <Figure
      title="Neurons of the concept alone, and of its keyword"
      name="concept_and_keyword"
      alt={`Mean neurons of a circuit per layer, split into those of the concept alone and those that its keyword has too; most of the concept alone are ${peak.share.toFixed(1)} in layer ${peak.layer}, ${peak.kind}.`}
      keys={PARTS.map((words, at) => ({ words, fill: SHADES[at]! }))}
      deps={[circuits]}
      draw={(width) => ({
        height: 230,
        marginLeft: 40,
        marginTop: 30,
        fx: { label: null, domain: kinds, padding: 0.08 },
        x: { label: width < 500 ? null : "layer", tickFormat: String, ticks: layerTicks(atlas.layers, width / kinds.length - 40) },
        y: { label: "neurons, mean", grid: true },
        color: { domain: PARTS, range: SHADES },
        marks: [
          Plot.barY(rows, {
            x: "layer", y: "share", fx: "kind", fill: "part",
            order: PARTS, insetLeft: 1, insetRight: 1,
          }),
          Plot.ruleY([0], { stroke: "var(--ink)" }),
        ],
      })}
    >
      Means over the concepts that have a keyword, by layer. The upper part fires for the keyword
      in a string or a comment as well, which other concepts’ keywords may make it do, too: the
      sentence above has how much of a circuit fires for those. That the lower part does not is no
      proof that it stands for the concept: it may follow anything else in which the two kinds of
      prompts differ.
    </Figure>
  );
}

function Ablation() {
  const { atlas } = useView();
  const rows = rowsOf(atlas, "leaderboard")
    .filter((row) => row.type === "all" && typeof row.specificity === "number")
    .map((row) => ({
      label: String(row.definition),
      value: Number(row.specificity),
      low: row.specificity_low as number | null,
      high: row.specificity_high as number | null,
    }));
  if (!rows.length) return <p class="note">No circuit of this atlas was ablated.</p>;
  return (
    <Figure
      title="What a circuit costs its own concept more than others"
      name="specificity"
      alt={rows.map((row) => `${row.label} ${row.value.toFixed(3)}, from ${row.low} to ${row.high}`).join("; ")}
      deps={[atlas]}
      draw={(width) => ({
        ...intervals(rows, width, "specificity, nats per token →", (row) => (row.low ?? 0) > 0),
        height: rows.length * 34 + 64,
      })}
    >
      Specificity by definition of a circuit, with 95% intervals over pairs and subject areas:
      rise of the loss on own prompts when the circuit is put to its mean, less the rise on other
      concepts’ prompts. Coloured where the interval is above 0. “matched” is the control. It says
      what these neurons are needed for on these prompts, not how the model uses them.
    </Figure>
  );
}

function Identification() {
  const { atlas } = useView();
  const rows = rowsOf(atlas, "leaderboard")
    .filter(
      (row) =>
        row.type !== "all" &&
        !String(row.definition).includes("@") &&
        typeof row.identification_top1 === "number",
    )
    .map((row) => ({
      label: String(row.definition),
      group: OF_KIND[String(row.type)] ?? String(row.type),
      value: Number(row.identification_top1),
      low: (row.identification_top1_low as number | null) ?? null,
      high: (row.identification_top1_high as number | null) ?? null,
      chance: Number(row.chance_top1 ?? 0),
    }));
  if (!rows.length) return <p class="note">No yardstick of identification was taken.</p>;
  return (
    <Figure
      title="Whose prompts are these?"
      name="identification"
      alt={rows.map((row) => `${row.label}, ${row.group}: ${percent(row.value)}`).join("; ")}
      deps={[atlas]}
      draw={(width) => ({
        ...intervals(rows, width, "share of pairs, mean over concepts →", (row) => (row.low ?? 0) > (row as (typeof rows)[number]).chance),
        marginRight: 90,
      })}
    >
      The share of a concept’s pairs that rank its circuit first on prompts of other subject areas
      (published circuits are of these prompts as well), on average over concepts, with 95% intervals over these; coloured where the interval is above chance. It says that neurons tell
      concepts apart, which words in the prompts may do as well.
    </Figure>
  );
}

const PICTURES: Record<string, () => preact.JSX.Element> = {
  shared: Shared,
  keyword: Keyword,
  identification: Identification,
  ablation: Ablation,
};

/** Concepts whose circuits have the largest share of their own, as a way in. */
function WaysIn() {
  const { atlas, circuits, keywords, place } = useView();
  const ranked = atlas.concepts
    .flatMap((concept, at) => {
      const keyword = keywordNeurons(keywords, concept);
      if (!keyword) return [];
      return [{ concept, share: conceptFraction(decompose(circuits.neurons[at]!, keyword, atlas)) }];
    })
    .sort((a, b) => b.share - a.share)
    .slice(0, 5);
  return (
    <p class="ways">
      {ranked.length > 0 && (
        <>
          Most of their own have{" "}
          {ranked.map(({ concept, share }, at) => (
            <>
              {at > 0 && ", "}
              <Concept name={concept} /> ({percent(share)})
            </>
          ))}
          .{" "}
        </>
      )}
      <a href={link({ page: "concepts" }, place)}>All {atlas.concepts.length} concepts</a> ·{" "}
      <a href={link({ page: "map" }, place)}>which are alike</a>
    </p>
  );
}

export function Home() {
  const { atlas, definition } = useView();
  const { last, site } = readoutOf(atlas);
  return (
    <>
      <header class="lead">
        <h1>
          Which neurons of <em>{atlas.model}</em> carry which concept?
        </h1>
        <p>
          An atlas of {several(atlas.concepts.length, "concept")}
          {atlas.own ? " of own prompts" : " of Python: AST nodes and builtins"}, read at{" "}
          {site ?? "the output of the MLP"} in {several(atlas.layers, "layer")} of{" "}
          {atlas.width.toLocaleString("en")} neurons
          {last ? ", at the last token of each prompt" : ""}. A{" "}
          <em>circuit</em> is the set of neurons that a definition gives for a concept.
        </p>
      </header>
      <Choice />
      {definition !== atlas.definitions[0] && (
        <p class="note">
          The sentences are about circuits {definitionName(atlas.definitions[0]!)}; the first two
          pictures show those chosen.
        </p>
      )}
      {atlas.findings.map((finding, at) => {
        // of several sentences on one topic, the last has the picture
        const closes = atlas.findings[at + 1]?.topic !== finding.topic;
        const Picture = closes && Object.hasOwn(PICTURES, finding.topic) && PICTURES[finding.topic];
        return (
          <section class="finding" aria-label={`Finding ${at + 1}`}>
            <p class="sentence">
              <span class="count" aria-hidden="true">
                {at + 1}
              </span>
              {finding.text}
            </p>
            {Picture && <Picture />}
          </section>
        );
      })}
      <WaysIn />
    </>
  );
}
