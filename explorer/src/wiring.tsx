/** Weights between neurons of published circuits: of one neuron, and drawn for a concept. */

import { useView } from "./choice";
import type { Atlas, Reached } from "./data";
import { Figure, layerTicks, Plot } from "./figure";
import { link } from "./place";
import { DataTable, Folded } from "./table";
import { bare, several, significant } from "./words";

/** Links that are drawn of a circuit, the strongest. */
const DRAWN = 150;

const KINDS: Record<string, string> = { hidden: "hidden unit of the MLP", value: "value channel of attention" };

function Units({ title, name, reached }: { title: string; name: string; reached: Reached | undefined }) {
  if (!reached) return <p class="note">{title}: no unit.</p>;
  const [n, units] = reached;
  return (
    <DataTable
      caption={title}
      name={name}
      rows={units}
      note={n > units.length ? `The strongest of ${n}.` : ""}
      columns={[
        { label: "unit", value: ([layer, kind, index]) => `layer ${layer}, ${KINDS[kind] ?? kind} ${index}` },
        { label: "weight", numeric: true, value: (unit) => unit[3], show: (unit) => significant(unit[3], true) },
      ]}
    />
  );
}

/** What writes a neuron, and what reads it. */
export function NeuronWiring({ name }: { name: string }) {
  const { atlas, place } = useView();
  const { wiring } = atlas;
  if (!wiring) return null;
  const [layer, neuron] = name.split(".").map(Number) as [number, number];
  const of = (at: Record<string, Reached>): Reached | undefined =>
    Object.hasOwn(at, name) ? at[name] : undefined;
  if (!of(wiring.writers))
    return (
      <p class="note">
        What writes and reads it is not told: the atlas has the wiring of published circuits at its
        reference setting, and this neuron is in none of them.
      </p>
    );
  const later = wiring.links
    .filter(([to, from]) => from === neuron && to > layer)
    .sort((a, b) => b[3] - a[3])
    .slice(0, 8);
  return (
    <section>
      <h2>What writes it, what reads it</h2>
      <p>
        The non-zero weights of the model at this neuron, among the units that take part in a
        published circuit. A weight says that something can flow here, not that it does.
      </p>
      <div class="columns">
        <Units title="Written by" name={`writers_${name}`} reached={of(wiring.writers)} />
        <Units title="Read by" name={`readers_${name}`} reached={of(wiring.readers)} />
      </div>
      {later.length > 0 && (
        <p>
          Through them its channel leads most strongly to{" "}
          {later.map(([to, , at], number) => (
            <>
              {number > 0 && ", "}
              <a href={link({ neuron: `${to}.${at}` }, place)}>
                layer {to}, neuron {at}
              </a>
            </>
          ))}
          .
        </p>
      )}
    </section>
  );
}

interface Drawn {
  from: number;
  x1: number;
  to: number;
  x2: number;
  strength: number;
}

/** The links within a circuit: each from the last layer before that has the channel. */
function linksOf(atlas: Atlas, circuit: Int32Array): Drawn[] {
  const own = new Set(circuit);
  const found: Drawn[] = [];
  for (const [layer, from, to, strength] of atlas.wiring?.links ?? []) {
    if (!own.has(layer * atlas.width + to)) continue;
    let begin = layer - 1;
    while (begin >= 0 && !own.has(begin * atlas.width + from)) begin--;
    if (begin >= 0) found.push({ from, x1: begin, to, x2: layer, strength });
  }
  return found.sort((a, b) => b.strength - a.strength);
}

/** A concept’s wiring, drawn where the atlas has it. */
export function ConceptWiring({ name, at }: { name: string; at: number }) {
  const { atlas, circuits, definition } = useView();
  if (!atlas.wiring || definition.key !== "published") return null;
  const circuit = circuits.neurons[at]!;
  const all = linksOf(atlas, circuit);
  if (!all.length) return null;
  const links = all.slice(0, DRAWN);
  const most = links[0]!.strength;
  const dots = [...circuit].map((neuron) => ({
    layer: Math.floor(neuron / atlas.width),
    neuron: neuron % atlas.width,
  }));
  return (
    <section>
      <h2>Wiring</h2>
      <Figure
        title="From neuron to neuron"
        name={`wiring_${name}`}
        alt={`${several(all.length, "link")} between the ${circuit.length} neurons of the circuit of ${bare(name)}; the strongest leads from layer ${links[0]!.x1}, neuron ${links[0]!.from} to layer ${links[0]!.x2}, neuron ${links[0]!.to}.`}
        deps={[circuit]}
        draw={(width) => ({
          height: 420,
          marginLeft: 48,
          marginBottom: 40,
          x: { label: "layer", labelOffset: 36, ticks: layerTicks(atlas.layers, width - 60), tickFormat: String, tickSize: 0, domain: [-0.15, atlas.layers - 0.85] },
          y: { label: "↑ neuron", domain: [0, atlas.width - 1] },
          marks: [
            Plot.link(links, {
              x1: "x1", y1: "from", x2: "x2", y2: "to", curve: "bump-x",
              stroke: "var(--ink)", strokeWidth: width < 500 ? 1 : 1.3,
              strokeOpacity: (each: Drawn) => 0.04 + (0.76 * each.strength) / most,
            }),
            Plot.dot(dots, { x: "layer", y: "neuron", r: 3.6, fill: "var(--accent)" }),
          ],
        })}
      >
        Dots are the neurons of the circuit. A line leads from a neuron to one of a later layer,
        through the hidden units and value channels that read the one and write the other; the
        darker, the larger the sum of |weight read · weight written|.{" "}
        {all.length > links.length ? `The strongest ${links.length} of ${all.length}. ` : ""}
        Weights are there on every input: a line shows a way that exists, not that the concept
        takes it.
      </Figure>
      <Folded summary="These lines as a table">
        {() => (
          <DataTable
            caption="From neuron to neuron"
            name={`links_${name}`}
            rows={links}
            columns={[
              { label: "from layer", numeric: true, value: (each) => each.x1 },
              { label: "from neuron", numeric: true, value: (each) => each.from },
              { label: "to layer", numeric: true, value: (each) => each.x2 },
              { label: "to neuron", numeric: true, value: (each) => each.to },
              { label: "strength", numeric: true, value: (each) => each.strength, show: (each) => significant(each.strength, false) },
            ]}
          />
        )}
      </Folded>
    </section>
  );
}
