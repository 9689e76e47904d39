/** Circuits as sets of neurons: unpacked when they are first looked at, compared by counting bits. */

import type { Atlas, Checker, Definition, Packed } from "./data";

/** The circuits of some concepts: neurons are numbered through all layers. */
export class Circuits {
  readonly neurons: Int32Array[];
  private readonly perLayer: number;
  private readonly words: Uint32Array[];
  private similar = new Map<number, Float32Array>();

  constructor(
    packed: Packed,
    readonly n: number,
    readonly layers: number,
    readonly width: number,
  ) {
    this.neurons = unpack(packed, n, layers * width);
    this.perLayer = Math.ceil(width / 32);
    this.words = this.neurons.map((neurons) => {
      const words = new Uint32Array(layers * this.perLayer);
      for (const neuron of neurons) {
        const at = neuron % width;
        words[Math.floor(neuron / width) * this.perLayer + (at >> 5)]! |= 1 << (at & 31);
      }
      return words;
    });
  }

  has(concept: number, neuron: number): boolean {
    const at = neuron % this.width;
    const word = Math.floor(neuron / this.width) * this.perLayer + (at >> 5);
    return ((this.words[concept]![word]! >>> (at & 31)) & 1) === 1;
  }

  size(concept: number): number {
    return this.neurons[concept]!.length;
  }

  /** How many neurons each layer has. */
  sizes(concept: number): number[] {
    const found = new Array<number>(this.layers).fill(0);
    for (const neuron of this.neurons[concept]!) found[Math.floor(neuron / this.width)]!++;
    return found;
  }

  /** By how many concepts each neuron is held. */
  held(): Int32Array {
    const found = new Int32Array(this.layers * this.width);
    for (const neurons of this.neurons) for (const neuron of neurons) found[neuron]!++;
    return found;
  }

  /** How many circuits differ from each other. */
  different(): number {
    return new Set(this.words.map((words) => words.join())).size;
  }

  jaccard(a: number, b: number, layer: number): number {
    const [left, right] = [this.words[a]!, this.words[b]!];
    let both = 0;
    let either = 0;
    for (let at = layer * this.perLayer; at < (layer + 1) * this.perLayer; at++) {
      both += ones(left[at]! & right[at]!);
      either += ones(left[at]! | right[at]!);
    }
    return either ? both / either : 0;
  }

  /** In how many layers none of some circuits has a neuron: of all circuits, unless told. */
  emptyLayers(concepts: Iterable<number> = this.neurons.keys()): number {
    const held = new Set<number>();
    for (const concept of concepts)
      for (const neuron of this.neurons[concept]!) held.add(Math.floor(neuron / this.width));
    return this.layers - held.size;
  }

  /** Jaccard similarity of every two concepts at a layer; of −1, its mean over layers. */
  similarity(layer = -1): Float32Array {
    const known = this.similar.get(layer);
    if (known) return known;
    const { n, layers } = this;
    const found = new Float32Array(n * n);
    const chosen = layer < 0 ? Array.from({ length: layers }, (_, at) => at) : [layer];
    for (let a = 0; a < n; a++)
      for (let b = a; b < n; b++) {
        let sum = 0;
        for (const at of chosen) sum += this.jaccard(a, b, at);
        found[a * n + b] = found[b * n + a] = sum / chosen.length;
      }
    this.similar.set(layer, found);
    return found;
  }

  /** The most similar other concept, the first of several. */
  closest(concept: number): { concept: number; similarity: number } | null {
    const all = this.similarity();
    let best = -1;
    for (let other = 0; other < this.n; other++)
      if (
        other !== concept &&
        (best < 0 || all[concept * this.n + other]! > all[concept * this.n + best]!)
      )
        best = other;
    return best < 0 ? null : { concept: best, similarity: all[concept * this.n + best]! };
  }

  /** The other concepts, the most similar first, ties in the order of the concepts. */
  nearest(concept: number): { concept: number; similarity: number }[] {
    const all = this.similarity();
    return Array.from({ length: this.n }, (_, other) => ({
      concept: other,
      similarity: all[concept * this.n + other]!,
    }))
      .filter((each) => each.concept !== concept)
      .sort((a, b) => b.similarity - a.similarity || a.concept - b.concept);
  }
}

function ones(word: number): number {
  word -= (word >>> 1) & 0x55555555;
  word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
  return (((word + (word >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
}

function octets(base64: string): Uint8Array {
  const text = atob(base64);
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function unpack(packed: Packed, n: number, size: number): Int32Array[] {
  return packed.gaps === undefined
    ? fromBits(octets(packed.bits ?? ""), n, size)
    : fromGaps(octets(packed.gaps), n, size);
}

function fromBits(bytes: Uint8Array, n: number, size: number): Int32Array[] {
  const found: number[][] = Array.from({ length: n }, () => []);
  for (let at = 0; at < bytes.length; at++) {
    if (!bytes[at]) continue;
    for (let bit = 0; bit < 8; bit++)
      if (bytes[at]! & (128 >> bit)) {
        const place = at * 8 + bit;
        found[Math.floor(place / size)]?.push(place % size);
      }
  }
  return found.map((neurons) => Int32Array.from(neurons));
}

function fromGaps(bytes: Uint8Array, n: number, size: number): Int32Array[] {
  let at = 0;
  const next = (): number => {
    let [value, shift, octet] = [0, 0, 128];
    while (octet & 128) {
      octet = bytes[at++] ?? 0;
      value |= (octet & 127) << shift;
      shift += 7;
    }
    return value;
  };
  return Array.from({ length: n }, () => {
    const neurons = new Int32Array(Math.min(next(), size));
    let neuron = -1;
    for (let place = 0; place < neurons.length; place++)
      neurons[place] = neuron = Math.min(neuron + next(), size - 1);
    return neurons;
  });
}

const unpacked = new WeakMap<Packed, Circuits>();

function remembered(packed: Packed, n: number, atlas: Atlas): Circuits {
  let found = unpacked.get(packed);
  if (!found) {
    found = new Circuits(packed, n, atlas.layers, atlas.width);
    unpacked.set(packed, found);
  }
  return found;
}

/** The circuits by a definition, unpacked once. */
export function circuitsOf(atlas: Atlas, definition: Definition): Circuits {
  return remembered(definition.circuits, atlas.concepts.length, atlas);
}

export interface Keywords {
  of: Checker;
  circuits: Circuits;
}

/** The circuits of keywords at the setting of a definition, where it has one. */
export function keywordsOf(atlas: Atlas, definition: Definition): Keywords | null {
  const of = atlas.checkers.find(
    (each) => each.epsilon === definition.epsilon && each.consistency === definition.consistency,
  );
  return of ? { of, circuits: remembered(of.circuits, of.concepts.length, atlas) } : null;
}

/** The neurons of a concept's keyword, or nothing where it has none. */
export function keywordNeurons(keywords: Keywords | null, concept: string): Int32Array | null {
  const at = keywords?.of.concepts.indexOf(concept) ?? -1;
  return keywords && at >= 0 ? keywords.circuits.neurons[at]! : null;
}

export interface Parts {
  /** Per layer: neurons of the concept alone, of both, and of the keyword alone. */
  only: number[];
  both: number[];
  keyword: number[];
}

export function decompose(circuit: Int32Array, keyword: Int32Array, atlas: Atlas): Parts {
  const zeros = (): number[] => new Array<number>(atlas.layers).fill(0);
  const parts: Parts = { only: zeros(), both: zeros(), keyword: zeros() };
  const [own, other] = [new Set(circuit), new Set(keyword)];
  const layer = (neuron: number): number => Math.floor(neuron / atlas.width);
  for (const neuron of circuit) (other.has(neuron) ? parts.both : parts.only)[layer(neuron)]!++;
  for (const neuron of keyword) if (!own.has(neuron)) parts.keyword[layer(neuron)]!++;
  return parts;
}

/** The share of a circuit that is the concept's alone: the mean over layers, as in the tables. */
export function conceptFraction(parts: Parts): number {
  const shares = parts.only.map((only, at) => only / (only + parts.both[at]! || 1));
  return shares.reduce((sum, share) => sum + share, 0) / (shares.length || 1);
}
