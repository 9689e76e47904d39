/** What tells two atlases apart: where each lies, and what they say of themselves. */

import { fact, type Atlas } from "./data";
import { DataTable } from "./table";

/** An atlas and the name of its folder or file. */
export interface Named {
  atlas: Atlas;
  where: string;
}

/** The name that the page has when it is built. */
const PAGE = "atlas_explorer.html";
/** Characters of a name that axes have room for. */
const ROOM = 22;

/** The folder of this page, or its file where that was given another name. */
export function whereItLies(): string {
  const parts = location.pathname.split("/").filter((part) => part !== "");
  const [folder, file] = [parts.at(-2), parts.at(-1)].map((part) => {
    try {
      return part && decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return (file === PAGE ? folder : file) ?? "";
}

interface Difference {
  what: string;
  here: string;
  there: string;
}

function differences(here: Named, there: Named): Difference[] {
  const [ours, theirs] = [new Map(here.atlas.facts), new Map(there.atlas.facts)];
  const names = [...new Set([...ours.keys(), ...theirs.keys()])];
  return [
    { what: "folder or file", here: here.where, there: there.where },
    ...names
      .map((what) => ({ what, here: ours.get(what) ?? "", there: theirs.get(what) ?? "" }))
      .filter((each) => each.here !== each.there),
  ];
}

const short = (name: string, room = ROOM): string =>
  name.length > room ? `${name.slice(0, room - 1)}…` : name;

/** What the two are called: by their models where these differ, else by where they lie. */
export function called(here: Named, there: Named): [string, string] {
  const name = ({ atlas, where }: Named): string =>
    here.atlas.model === there.atlas.model ? where.replace(/^atlas_(?=.+\.json$)|\.json$/g, "") : atlas.model;
  const beside = (words: string, name: string): string => (name ? `${words}, ${name}` : words);
  return [beside("this atlas", short(name(here))), beside("the other", short(name(there)))];
}

/** Their grids of prompts, in words to follow their names; nothing where they are one and the same. */
export function grids(here: Named, there: Named): [string, string] {
  const [ours, theirs] = [here, there].map((each) => fact(each.atlas, "grid of prompts") ?? "not told") as [string, string];
  return ours === theirs ? ["", ""] : [`, grid ${short(ours, 2 * ROOM)}`, `, grid ${short(theirs, 2 * ROOM)}`];
}

export function Apart({ here, there }: { here: Named; there: Named }) {
  const rows = differences(here, there);
  return (
    <DataTable
      caption="What tells the two atlases apart"
      name="apart"
      sortable={false}
      rows={rows}
      note={rows.length > 1 ? "" : "In nothing else that they say of themselves do they differ: model, prompts, grid and sweep are the same."}
      columns={[
        { label: "of", value: (row) => row.what },
        { label: "this atlas", value: (row) => row.here, show: (row) => <span class="long">{row.here || "–"}</span> },
        { label: "the other", value: (row) => row.there, show: (row) => <span class="long">{row.there || "–"}</span> },
      ]}
    />
  );
}
