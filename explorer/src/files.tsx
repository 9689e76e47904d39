/** The tables of the atlas, and where its files come from. */

import { useState } from "preact/hooks";
import type { Atlas, ShownTable } from "./data";
import { DataTable } from "./table";

function Shown({ table }: { table: ShownTable }) {
  return (
    <DataTable
      caption={table.caption}
      name={table.caption}
      note={table.note}
      rows={table.rows}
      columns={table.columns.map((label, at) => ({
        label,
        numeric: table.numeric.includes(at),
        value: (row: string[]) => {
          const text = row[at] ?? "";
          const plain = text.replaceAll(",", "");
          return table.numeric.includes(at) && /^[+-]?[\d.]+$/.test(plain) ? Number(plain) : text;
        },
        show: (row: string[]) => row[at],
      }))}
    />
  );
}

/** A long table, made when it is first opened. */
function Folded({ table }: { table: ShownTable }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {table.caption} ({table.rows.length} rows)
      </summary>
      {open && <Shown table={table} />}
    </details>
  );
}

export function FilesPage({ atlas }: { atlas: Atlas }) {
  return (
    <>
      <h1>Tables and files</h1>
      <dl class="facts">
        {atlas.facts.map(([name, value]) => (
          <>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </>
        ))}
      </dl>
      {atlas.sections.map((section) => (
        <section>
          <h2>{section.title}</h2>
          <p>{section.introduction}</p>
          {section.tables.map((table) =>
            table.rows.length > 20 ? (
              <Folded table={table} />
            ) : (
              <Shown table={table} />
            ),
          )}
        </section>
      ))}
      {atlas.missing.length > 0 && <p>Not in this atlas: {atlas.missing.join(", ")}.</p>}
    </>
  );
}
