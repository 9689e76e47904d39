/** Neurons as a list of links, for those who do not point. */

import { useView } from "./choice";
import { link } from "./place";
import { TakeCsv } from "./table";

export function neuronName(neuron: number, width: number): string {
  return `${Math.floor(neuron / width)}.${neuron % width}`;
}

export function NeuronList({ neurons, words, name }: {
  neurons: Iterable<number>;
  words: string;
  name: string;
}) {
  const { atlas, circuits, place } = useView();
  const byLayer = new Map<number, number[]>();
  for (const neuron of neurons) {
    const layer = Math.floor(neuron / atlas.width);
    byLayer.set(layer, [...(byLayer.get(layer) ?? []), neuron % atlas.width]);
  }
  return (
    <details class="listed">
      <summary>{words} as a list</summary>
      <dl class="neurons">
        {[...byLayer].map(([layer, inLayer]) => (
          <>
            <dt>layer {layer}</dt>
            <dd>
              {inLayer.map((neuron) => (
                <a href={link({ neuron: `${layer}.${neuron}` }, place)}>{neuron}</a>
              ))}
            </dd>
          </>
        ))}
      </dl>
      <TakeCsv
        caption={words}
        name={name}
        columns={["layer", "neuron", "concepts that hold it"]}
        rows={() => {
          const held = circuits.held();
          return [...neurons].map((neuron) => [
            Math.floor(neuron / atlas.width), neuron % atlas.width, held[neuron]!,
          ]);
        }}
      />
    </details>
  );
}
