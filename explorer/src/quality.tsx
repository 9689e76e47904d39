/** The yardsticks of circuits: what each means, and which of them an atlas has. */

import type { ComponentChildren } from "preact";
import { rowsOf, type Atlas, type Cell, type Definition } from "./data";
import { number, percent, signed } from "./words";

export type Row = Record<string, Cell>;

export interface Yardstick {
  name: string;
  label: string;
  meaning: string;
  show: (value: Cell) => string;
  interval?: boolean;
}

const share = (value: Cell): string => (typeof value === "number" ? percent(value) : "–");
const nats = (value: Cell): string => signed(value);

export const YARDSTICKS: Yardstick[] = [
  { name: "identification_top1", label: "identified", show: share,
    meaning: "share of the concept’s pairs that rank this circuit first on prompts of other subject areas (of which published circuits are as well); of a definition, the mean of that share over concepts" },
  { name: "chance_top1", label: "identified by chance", show: share,
    meaning: "that share if circuits were ranked at random" },
  { name: "centroid_top1", label: "identified, nearest centroid", show: share,
    meaning: "that share for the mean mask of the concept instead of its circuit" },
  { name: "token_top1", label: "identified, read token", show: share,
    meaning: "that share by the id of the token that is read alone, without the model" },
  { name: "necessity", label: "necessity", show: nats, interval: true,
    meaning: "rise of the loss on the concept’s own prompts when its circuit is put to its mean, nats per token" },
  { name: "specificity", label: "specificity", show: nats, interval: true,
    meaning: "necessity less the rise on other concepts’ prompts, which may use this concept as well, nats per token" },
  { name: "over_matched", label: "over matched", show: nats, interval: true,
    meaning: "necessity less the rise when as many neurons outside the circuit are put to their means, the nearest in strength that are left, which may be weaker" },
  { name: "faithfulness_own", label: "faithfulness", show: share,
    meaning: "how much of what the MLPs contribute is left with the circuit alone, on own prompts" },
  { name: "faithfulness_other", label: "faithfulness, other prompts", show: share,
    meaning: "the same on prompts of other concepts" },
  { name: "split_half", label: "agreement of halves", show: share,
    meaning: "Jaccard similarity of its circuits from two halves of the prompts" },
  { name: "null_q", label: "q of its size", show: (value) => number(value, 3),
    meaning: "q-value of its size: the share of circuits of randomly chosen pairs that are at least as large is its p-value; Benjamini and Hochberg’s correction, over the concepts, makes it q" },
  { name: "q_value", label: "q over matched", show: (value) => number(value, 3),
    meaning: "p-value of over matched > 0, after Benjamini and Hochberg" },
  { name: "matched_ratio", label: "strength of its control", show: (value) => number(value, 2),
    meaning: "mean |readout| of the neurons of a matched control over that of the circuit’s: below 1 the control is weaker" },
  { name: "n_prompts", label: "prompts ablated", show: (value) => number(value, 0),
    meaning: "own prompts that were run without the circuit; of few there is no interval" },
  { name: "n_clusters", label: "pairs and subject areas", show: (value) => number(value, 0),
    meaning: "how many different ones these prompts are of; of few there is no interval" },
];

const known = new WeakMap<Atlas, Map<string, Row>>();

/** What is known of a concept’s circuit by a definition. */
export function qualityOf(atlas: Atlas, definition: Definition, concept: string): Row | null {
  let rows = known.get(atlas);
  if (!rows) {
    rows = new Map(
      rowsOf(atlas, "quality").map((row) => [`${row.definition}\n${row.concept}`, row]),
    );
    known.set(atlas, rows);
  }
  return rows.get(`${definition.key}\n${concept}`) ?? null;
}

/** A value, its interval on a line of its own. */
export function withInterval(row: Row, stick: Yardstick): ComponentChildren {
  const value = stick.show(row[stick.name] ?? null);
  const [low, high] = [row[`${stick.name}_low`], row[`${stick.name}_high`]];
  if (typeof low !== "number" || typeof high !== "number") return value;
  return (
    <>
      {value} <small>[{stick.show(low)}, {stick.show(high)}]</small>
    </>
  );
}

/** The yardsticks that a row has a value of. */
export function measured(row: Row | null): Yardstick[] {
  return row ? YARDSTICKS.filter((stick) => typeof row[stick.name] === "number") : [];
}
