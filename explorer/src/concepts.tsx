/** The list of concepts: searched, filtered, sorted by any column. */

import { useMemo, useState } from "preact/hooks";
import { boundOfAll } from "./bound";
import { Choice, Concept, useView } from "./choice";
import { conceptFraction, decompose, keywordNeurons } from "./circuits";
import { qualityOf } from "./quality";
import { DataTable, type Column } from "./table";
import { bare, fixed, kindName, kindOf, percent, rounded, several, signed } from "./words";

interface Row {
  concept: string;
  size: number;
  sizes: number[];
  twins: number;
  fraction: number | null;
  nearest: string | null;
  similarity: number | null;
  specificity: number | null;
  identified: number | null;
}

function Sizes({ sizes, most }: { sizes: number[]; most: number }) {
  const step = Math.min(7, 112 / sizes.length);
  const bars = sizes.map((size, layer) => {
    const height = Math.max(most ? (size / most) * 17 : 0, 1);
    return `M${layer * step},18v${-height}h${step * 0.7}v${height}z`;
  });
  return (
    <svg class="spark" width={sizes.length * step} height="18" role="img" aria-label={`by layer ${sizes.join(", ")}`}>
      <path d={bars.join("")} fill="var(--accent)" />
    </svg>
  );
}

const share = (value: number | null): string => (value === null ? "–" : percent(value));

export function Concepts() {
  const { atlas, circuits, keywords, definition } = useView();
  const [text, setText] = useState("");
  const [kind, setKind] = useState("all");
  const rows = useMemo(() => {
    const texts = circuits.neurons.map((neurons) => neurons.join());
    return atlas.concepts.map((concept, at): Row => {
      const keyword = keywordNeurons(keywords, concept);
      const nearest = circuits.closest(at);
      const quality = qualityOf(atlas, definition, concept);
      const value = (name: string): number | null =>
        typeof quality?.[name] === "number" ? (quality[name] as number) : null;
      return {
        concept,
        size: circuits.size(at),
        sizes: circuits.sizes(at),
        twins: texts.filter((other) => other === texts[at]).length - 1,
        fraction: keyword
          ? conceptFraction(decompose(circuits.neurons[at]!, keyword, atlas))
          : null,
        nearest: nearest ? atlas.concepts[nearest.concept]! : null,
        similarity: nearest ? rounded(nearest.similarity) : null,
        specificity: value("specificity"),
        identified: value("identification_top1"),
      };
    });
  }, [circuits]);
  const most = Math.max(...rows.flatMap((row) => row.sizes), 0);
  const limit = useMemo(() => boundOfAll(circuits), [circuits]);
  const columns = useMemo(
    (): Column<Row>[] => [
      { label: "concept", value: (row) => bare(row.concept), show: (row) => <Concept name={row.concept} /> },
      { label: "type", value: (row) => kindName(row.concept) },
      { label: "neurons", numeric: true, value: (row) => row.size, title: "neurons of the circuit, all layers" },
      { label: "by layer", value: (row) => row.sizes.join(" "), show: (row) => <Sizes sizes={row.sizes} most={most} />, title: "neurons per layer, first to last" },
      { label: "same as", numeric: true, value: (row) => row.twins, show: (row) => row.twins || "–", title: "other concepts with exactly the same circuit" },
      { label: "its own", numeric: true, value: (row) => row.fraction, show: (row) => share(row.fraction), title: "concept fraction: share of the circuit that its keyword does not have, mean over layers, 0 where the circuit has no neuron" },
      { label: "nearest", value: (row) => row.nearest && bare(row.nearest), show: (row) => row.nearest ? <Concept name={row.nearest} /> : "–" },
      { label: "similarity", numeric: true, value: (row) => row.similarity, show: (row) => fixed(row.similarity), title: ["Jaccard similarity with the nearest, mean over layers.", limit].join(" ").trim() },
      { label: "specificity", numeric: true, value: (row) => row.specificity, show: (row) => signed(row.specificity), title: "rise of the loss on own prompts without the circuit, less that on others’, nats per token" },
      { label: "identified", numeric: true, value: (row) => row.identified, show: (row) => share(row.identified), title: "share of the concept’s pairs that rank this circuit first, on prompts of other subject areas" },
    ],
    [most, limit],
  );
  const wanted = text.trim().toLowerCase();
  const found = useMemo(
    () =>
      rows.filter(
        (row) =>
          (kind === "all" || kindOf(row.concept) === kind) &&
          row.concept.toLowerCase().includes(wanted),
      ),
    [rows, kind, wanted],
  );
  const kinds = [...new Set(atlas.concepts.map(kindOf))];
  return (
    <>
      <h1>Concepts</h1>
      <Choice />
      <form class="filter" role="search" onSubmit={(event) => event.preventDefault()}>
        <label>
          Search{" "}
          <input type="search" value={text} placeholder="break, len, Import …"
            onInput={(event) => setText(event.currentTarget.value)} />
        </label>
        {kinds.length > 1 && (
          <label>
            Type{" "}
            <select value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
              <option value="all">all</option>
              {kinds.map((each) => (
                <option value={each}>{kindName(`${each}__`)}s</option>
              ))}
            </select>
          </label>
        )}
        <output role="status">
          {several(found.length, "concept")}, {circuits.different()} different circuits in all
        </output>
      </form>
      <DataTable caption="Concepts and their circuits" hidden name="concepts" columns={columns} rows={found}
        note={`Its own: share of the circuit that the keyword’s circuit does not hold, mean over layers (0 where it is empty); a dash where a concept has no keyword. Similarity: Jaccard, mean over layers. ${limit} Select a heading to sort.`} />
    </>
  );
}
