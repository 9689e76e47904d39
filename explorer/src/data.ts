/** An atlas as the page holds it: the document of `stages/report/explorer.py`, checked. */

export type Cell = string | number | boolean | null;

export interface Table {
  columns: string[];
  rows: Cell[][];
}

export interface Packed {
  bits?: string;
  gaps?: string;
}

export interface Definition {
  name: string;
  key: string;
  epsilon?: number;
  consistency?: number;
  circuits: Packed;
  order: number[];
}

export interface Checker {
  epsilon: number;
  consistency: number;
  concepts: string[];
  circuits: Packed;
}

export interface Claim {
  id: string;
  section: string;
  statement: string;
  computed: string;
  setting: string;
  expected: string;
  observed: string;
  verdict: string;
  as_in_paper: string;
  note: number | null;
}

export interface ShownTable {
  caption: string;
  columns: string[];
  rows: string[][];
  numeric: number[];
  note: string;
}

export interface Section {
  id: string;
  title: string;
  introduction: string;
  tables: ShownTable[];
}

export interface Prompts {
  texts: string[];
  of: Record<string, [number, string, number | null][]>;
  checkers?: Record<string, number[]>;
}

/** How many units write or read a neuron, and the strongest: layer, kind, index, weight. */
export type Reached = [number, [number, string, number, number][]];

export interface Wiring {
  /** Layer of the neuron led to, neuron led from, neuron led to, strength. */
  links: [number, number, number, number][];
  writers: Record<string, Reached>;
  readers: Record<string, Reached>;
}

/** What the intervals of a concept take at least, and how many prompts the job validate runs. */
export interface Intervals {
  prompts: number;
  clusters: number;
  validated: number;
}

export interface Atlas {
  format: 1;
  model: string;
  own: boolean;
  facts: [string, string][];
  concepts: string[];
  layers: number;
  width: number;
  definitions: Definition[];
  checkers: Checker[];
  left_out: string[];
  tables: Record<string, Table>;
  claims: Claim[];
  notes: string[];
  sections: Section[];
  missing: string[];
  findings: { topic: string; text: string }[];
  prompts?: Prompts;
  wiring?: Wiring;
  intervals?: Intervals;
}

const isArray = Array.isArray;
const isText = (value: unknown): value is string => typeof value === "string";
const isTexts = (value: unknown): value is string[] => isArray(value) && value.every(isText);
const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 0;
type Fields = Record<string, unknown>;
const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !isArray(value);

function isPacked(value: unknown): boolean {
  return isFields(value) && (isText(value.bits) || isText(value.gaps));
}

function isTable(value: unknown): boolean {
  if (!isFields(value) || !isTexts(value.columns) || !isArray(value.rows)) return false;
  const width = value.columns.length;
  return value.rows.every((row) => isArray(row) && row.length === width);
}

function isDefinition(value: unknown, concepts: number): boolean {
  return (
    isFields(value) &&
    isText(value.name) &&
    isText(value.key) &&
    isPacked(value.circuits) &&
    isArray(value.order) &&
    value.order.length === concepts &&
    new Set(value.order).size === concepts &&
    value.order.every((at) => isCount(at) && (at as number) < concepts)
  );
}

/** What is wrong with a document that is to be an atlas; nothing is believed of it. */
function fault(value: unknown): string | null {
  if (!isFields(value)) return "it is no JSON object";
  if (value.format !== 1) return `its format is ${JSON.stringify(value.format)}, not 1`;
  if (!isText(value.model)) return "it names no model";
  if (!isTexts(value.concepts)) return "its concepts are no list of names";
  const concepts = value.concepts.length;
  if (concepts && !(isCount(value.layers) && isCount(value.width)))
    return "its numbers of layers and neurons are missing";
  if (concepts && Number(value.layers) * Number(value.width) > 2 ** 24)
    return "it has more neurons than this page can hold";
  if (!isArray(value.definitions) || !value.definitions.every((d) => isDefinition(d, concepts)))
    return "a definition of circuits in it is damaged";
  if (!isFields(value.tables) || !Object.values(value.tables).every(isTable))
    return "a table in it is damaged";
  return null;
}

function parse(text: string): unknown {
  const start = text.lastIndexOf('id="atlas" type="application/json">');
  if (start < 0) return JSON.parse(text);
  const begin = text.indexOf(">", start) + 1;
  return JSON.parse(text.slice(begin, text.indexOf("<", begin)));
}

/** Reads an exported JSON, or a whole page; what is none is an Error that says why. */
export function readAtlas(text: string): Atlas {
  let value: unknown;
  try {
    value = parse(text);
  } catch {
    throw new Error("it is neither JSON nor a page of an atlas");
  }
  const wrong = fault(value);
  if (wrong !== null) throw new Error(wrong);
  const atlas = value as Partial<Atlas>;
  const lists = { claims: [], notes: [], sections: [], missing: [], findings: [], facts: [] };
  return { ...lists, checkers: [], left_out: [], layers: 0, width: 0, own: false, ...atlas } as Atlas;
}

/** The rows of a table as objects; none where the atlas lacks it. */
export function rowsOf(atlas: Atlas, name: string): Record<string, Cell>[] {
  const table = atlas.tables[name];
  if (!table) return [];
  return table.rows.map((row) =>
    Object.fromEntries(table.columns.map((column, at) => [column, row[at] ?? null])),
  );
}

/** Which token was read, and where in each block; no site where it is the paper’s. */
export function readoutOf(atlas: Atlas): { last: boolean; site: string | null } {
  const [token, site] = (fact(atlas, "readout") ?? "").split(" at ");
  return { last: token === "last_token", site: site ?? null };
}

export function fact(atlas: Atlas, name: string): string | undefined {
  return atlas.facts.find(([known]) => known === name)?.[1];
}
