/** The page of one neuron: which concepts hold it, by which definition. */

import { Choice, Concept, useView } from "./choice";
import { circuitsOf } from "./circuits";
import { link } from "./place";
import { DataTable, TakeCsv } from "./table";
import { NeuronWiring } from "./wiring";
import { bare, definitionName, kindName, kindOf, several } from "./words";

export function NeuronPage({ name }: { name: string }) {
  const { atlas, circuits, definition, place } = useView();
  const [layer, at] = name.split(".").map(Number) as [number, number];
  const known =
    /^\d+\.\d+$/.test(name) && layer >= 0 && layer < atlas.layers && at >= 0 && at < atlas.width;
  if (!known)
    return (
      <>
        <h1>No such neuron</h1>
        <p>
          Layers go from 0 to {atlas.layers - 1}, neurons from 0 to {atlas.width - 1}; this address
          says {name}.
        </p>
      </>
    );
  const neuron = layer * atlas.width + at;
  const holders = atlas.concepts.filter((_, concept) => circuits.has(concept, neuron));
  const rows = atlas.definitions.map((each) => ({
    definition: each,
    held: atlas.concepts.filter((_, c) => circuitsOf(atlas, each).has(c, neuron)).length,
  }));
  const kinds = [...new Set(holders.map(kindOf))];
  const n = atlas.concepts.length;
  return (
    <>
      <p class="above">neuron</p>
      <h1>
        Layer {layer}, neuron {at}
      </h1>
      <nav class="steps" aria-label="Neighbouring neurons">
        {at > 0 && <a href={link({ neuron: `${layer}.${at - 1}` }, place)}>← {at - 1}</a>}
        {at < atlas.width - 1 && (
          <a href={link({ neuron: `${layer}.${at + 1}` }, place)}>{at + 1} →</a>
        )}
      </nav>
      <Choice />
      <section>
        <h2>
          Held by {several(holders.length, "concept")} of {n}
        </h2>
        {holders.length * 10 >= n * 9 && (
          <p>
            It is of the core: at least 90% of all circuits hold it, so it tells no concept from
            another.
          </p>
        )}
        {!holders.length && <p>No concept’s circuit holds it: {definitionName(definition)}.</p>}
        {kinds.map((kind) => (
          <>
            {kinds.length > 1 && <h3>{kindName(`${kind}__`)}s</h3>}
            <ul class="holders">
              {holders
                .filter((name) => kindOf(name) === kind)
                .sort((a, b) => bare(a).localeCompare(bare(b)))
                .map((name) => (
                  <li>
                    <Concept name={name} />
                  </li>
                ))}
            </ul>
          </>
        ))}
        {holders.length > 0 && (
          <TakeCsv
            caption="the concepts that hold it"
            name={`holders_${name}`}
            columns={["concept"]}
            rows={() => holders.map((holder) => [holder])}
          />
        )}
      </section>
      <NeuronWiring name={name} />
      <section>
        <h2>By every definition</h2>
        <DataTable
          caption={`How many concepts hold neuron ${name}`}
          name={`neuron_${name}`}
          rows={rows}
          columns={[
            {
              label: "definition",
              value: (row) => row.definition.key,
              show: (row) => (
                <a href={link({ neuron: name, at: row.definition.key }, {})}>
                  {definitionName(row.definition)}
                </a>
              ),
            },
            { label: "concepts", numeric: true, value: (row) => row.held },
          ]}
        />
      </section>
    </>
  );
}
