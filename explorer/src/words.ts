/** Names and numbers as readers see them. */

const KINDS: Record<string, string> = { ast: "AST node", builtin: "builtin", own: "concept" };

export function kindOf(concept: string): string {
  return concept.slice(0, Math.max(0, concept.indexOf("__")));
}

export function kindName(concept: string): string {
  return KINDS[kindOf(concept)] ?? "concept";
}

/** The name without its prefix: ast__Break → Break. */
export function bare(concept: string): string {
  const kind = kindOf(concept);
  return kind in KINDS ? concept.slice(kind.length + 2) : concept;
}

export function percent(share: number, places = 0): string {
  return `${(100 * share).toFixed(places)}%`;
}

export function number(value: unknown, places = 3): string {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  return Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(places);
}

export function fixed(value: number | null | undefined, places = 2): string {
  return typeof value === "number" ? value.toFixed(places) : "–";
}

/** To four decimals, for files: without the digits that single precision adds. */
export function rounded(value: number, places = 4): number {
  return Number(value.toFixed(places));
}

/** With as many digits as are known, a minus or a plus before them where a sign tells something. */
export function significant(value: number, sign: boolean, digits = 3): string {
  const shown = Math.abs(value).toLocaleString("en", {
    minimumSignificantDigits: digits,
    maximumSignificantDigits: digits,
  });
  return `${value < 0 ? "−" : sign ? "+" : ""}${shown}`;
}

export function signed(value: unknown, places = 3): string {
  if (typeof value !== "number") return "–";
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(places)}`;
}

export function several(n: number, word: string): string {
  return `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
}

const NUMBERS = "no one two three four five six seven eight nine ten eleven twelve".split(" ");

/** A count as a word, up to twelve. */
export function counted(n: number): string {
  return NUMBERS[n] ?? n.toLocaleString("en");
}

/** A definition in words. */
export function definitionName(definition: {
  name: string;
  epsilon?: number;
  consistency?: number;
}): string {
  if (definition.epsilon === undefined) return definition.name;
  return `${definition.name} at ε = ${definition.epsilon}, C = ${definition.consistency}`;
}

export const MEANING: Record<string, string> = {
  published:
    "neurons whose mean |readout| exceeds ε and that fire (are not zero) on at least a share C of the prompts, in every pair of the concept",
  calibrated:
    "neurons that fire above κ times their layer’s scale where the concept ends, on most prompts of at least a share π of its pairs",
  contrastive:
    "as many neurons as published has, those ranked first by attribution to this concept above the others: a first-order score, no estimate of what removing one costs",
  matched: "a control: as many neurons per layer, none of them published, the nearest in strength that are left: weaker ones where published has the strongest",
  own: "a user’s own circuits",
};
