/** The tables of the atlas, and where its files come from. */

import type { Atlas, ShownTable } from "./data";
import { DataTable, Folded, TakeCsv } from "./table";

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
      <TakeCsv caption="what the atlas is of" name="facts" columns={["fact", "value"]} rows={() => atlas.facts} />
      {atlas.sections.map((section) => (
        <section>
          <h2>{section.title}</h2>
          <p>{section.introduction}</p>
          {section.tables.map((table) =>
            table.rows.length > 20 ? (
              <Folded summary={`${table.caption} (${table.rows.length} rows)`}>
                {() => <Shown table={table} />}
              </Folded>
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
