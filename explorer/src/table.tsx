/** A table that sorts by any column, scrolls on its own, and can be taken away as CSV. */

import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import type { Cell } from "./data";
import { saveCsv } from "./save";

export interface Column<Row> {
  label: string;
  /** What is sorted and exported. */
  value: (row: Row) => Cell;
  /** What is shown, where it is not the value as text. */
  show?: (row: Row) => ComponentChildren;
  numeric?: boolean;
  /** What the column means. */
  title?: string;
}

interface Properties<Row> {
  caption: string;
  columns: Column<Row>[];
  rows: Row[];
  name: string;
  hidden?: boolean;
  note?: string;
  sortable?: boolean;
}

/** A button that saves a table as CSV. */
export function TakeCsv({ caption, name, columns, rows }: {
  caption: string;
  name: string;
  columns: string[];
  rows: () => Cell[][];
}) {
  return (
    <p class="take">
      <button type="button" onClick={() => saveCsv(name, columns, rows())}>
        CSV<span class="unseen"> of {caption}</span>
      </button>
    </p>
  );
}

function compare(a: Cell, b: Cell): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

export function DataTable<Row>({
  caption,
  columns,
  rows,
  name,
  hidden,
  note,
  sortable = true,
}: Properties<Row>) {
  const [sort, setSort] = useState<{ column: number; down: boolean } | null>(null);
  const sorted = useMemo(() => {
    const column = sort && columns[sort.column];
    if (!column) return rows;
    const keyed = rows.map((row) => ({ row, key: column.value(row) }));
    // what is absent comes last, whichever way is up
    keyed.sort((a, b) =>
      a.key === null || b.key === null
        ? Number(a.key === null) - Number(b.key === null)
        : compare(a.key, b.key) * (sort.down ? -1 : 1),
    );
    return keyed.map((each) => each.row);
  }, [rows, columns, sort]);
  const turn = (at: number): void =>
    setSort((now) =>
      now?.column === at
        ? { column: at, down: !now.down }
        : { column: at, down: columns[at]?.numeric ?? false },
    );
  return (
    <div class="table">
      <div class="scroll" role="region" aria-label={caption} tabIndex={0}>
        <table>
          <caption class={hidden ? "unseen" : ""}>{caption}</caption>
          <thead>
            <tr>
              {columns.map((column, at) => (
                <th
                  scope="col"
                  class={column.numeric ? "number" : ""}
                  title={column.title}
                  aria-sort={
                    sort?.column === at ? (sort.down ? "descending" : "ascending") : undefined
                  }
                >
                  {sortable ? (
                    <button type="button" class="sort" onClick={() => turn(at)}>
                      {column.label}
                      <span aria-hidden="true" class="arrow">
                        {sort?.column === at ? (sort.down ? "▾" : "▴") : ""}
                      </span>
                    </button>
                  ) : (
                    column.label
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {sorted.map((row) => (
              <tr>
                {columns.map((column, at) => {
                  const shown = column.show ? column.show(row) : (column.value(row) ?? "–");
                  return at ? (
                    <td class={column.numeric ? "number" : ""}>{shown}</td>
                  ) : (
                    <th scope="row">{shown}</th>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {note && <p class="note">{note}</p>}
      <TakeCsv
        caption={caption}
        name={name}
        columns={columns.map((column) => column.label)}
        rows={() => sorted.map((row) => columns.map((column) => column.value(row)))}
      />
    </div>
  );
}

/** What is long, made when it is first opened. */
export function Folded({ summary, children }: { summary: string; children: () => ComponentChildren }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{summary}</summary>
      {open && children()}
    </details>
  );
}
