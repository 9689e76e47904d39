/** What keeps a mean similarity below 1: empty layers count as 0, as in the published tables. */

import type { Circuits } from "./circuits";
import { counted, fixed, several } from "./words";

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** What a mean over layers comes to at most, of circuits with so many empty layers. */
export function bound(circuits: Circuits, empty: number): number {
  return circuits.layers ? 1 - empty / circuits.layers : 0;
}

function said(circuits: Circuits, empty: number, where: string, so: string): string {
  const { layers } = circuits;
  if (!empty) return "";
  if (empty === layers) return `No layer has a neuron in ${where}, so that the similarity is 0`;
  const [have, count] = empty === 1 ? ["has", "counts"] : ["have", "count"];
  return `${capital(counted(empty))} of ${counted(layers)} layers ${have} no neuron in ${where} and ${count} as 0, so that ${so} ${fixed(bound(circuits, empty))}`;
}

/** Of the similarity of two concepts. */
export function boundOfTwo(circuits: Circuits, a: number, b: number): string {
  const told = said(circuits, circuits.emptyLayers([a, b]), "either circuit", "it cannot exceed");
  return told && `${told}.`;
}

/** Of the similarities of one concept with every other. */
export function boundOfOne(circuits: Circuits, concept: number): string {
  const told = said(circuits, circuits.emptyLayers([concept]), "this circuit", "no similarity exceeds");
  return told && `${told}.`;
}

/** Of all circuits, and of those that are empty in more layers than all are. */
export function boundOfAll(circuits: Circuits): string {
  const empty = circuits.emptyLayers();
  const fewer = circuits.neurons.filter((_, at) => circuits.emptyLayers([at]) > empty).length;
  const told = said(circuits, empty, "any circuit here", "no similarity exceeds");
  if (!fewer) return told && `${told}.`;
  const [have, stay] = fewer === 1 ? ["has", "stays"] : ["have", "stay"];
  if (told) return `${told}; ${several(fewer, "circuit")} ${have} neurons in fewer layers and ${stay} below that.`;
  return `A layer in which neither circuit has a neuron counts as 0, so that ${several(fewer, "circuit")} with such layers ${stay} below 1, even beside the same circuit.`;
}

/** Of all circuits at one layer. */
export function boundAtLayer(circuits: Circuits, layer: number): string {
  const without = circuits.neurons.filter((_, at) => !circuits.sizes(at)[layer]).length;
  if (!without) return "";
  if (without === circuits.n) return "No circuit here has a neuron in this layer, so that every similarity is 0.";
  return `${several(without, "circuit")} ${without === 1 ? "has" : "have"} no neuron in this layer, which counts as 0, beside the same circuit as well.`;
}
