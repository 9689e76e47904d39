/** Neurons as a list of links, for those who do not point. */

import { useView } from "./choice";
import { link } from "./place";

export function neuronName(neuron: number, width: number): string {
  return `${Math.floor(neuron / width)}.${neuron % width}`;
}

export function NeuronList({ neurons, words }: { neurons: Iterable<number>; words: string }) {
  const { atlas, place } = useView();
  const byLayer = new Map<number, number[]>();
  for (const neuron of neurons) {
    const layer = Math.floor(neuron / atlas.width);
    byLayer.set(layer, [...(byLayer.get(layer) ?? []), neuron % atlas.width]);
  }
  return (
    <details>
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
    </details>
  );
}
