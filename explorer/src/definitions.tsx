/** The leaderboard: what the yardsticks come to by definition of a circuit. */

import { useState } from "preact/hooks";
import { useView } from "./choice";
import { rowsOf } from "./data";
import { Figure } from "./figure";
import { intervals, type Interval } from "./intervals";
import { link } from "./place";
import { withInterval, YARDSTICKS, type Row } from "./quality";
import { DataTable, type Column } from "./table";
import { MEANING, number, signed } from "./words";

const TYPES: Record<string, string> = { all: "all concepts", ast: "AST nodes", builtin: "builtins" };

export function DefinitionsPage() {
  const { atlas, place } = useView();
  const [type, setType] = useState("all");
  const all = rowsOf(atlas, "leaderboard");
  if (!all.length)
    return (
      <>
        <h1>Definitions of a circuit</h1>
        <p>
          The circuits of this atlas were not judged
          {atlas.own ? ": own prompts have no pairs of an AST node and a builtin to do it with" : ""}.
        </p>
      </>
    );
  const rows = all.filter((row) => row.type === type);
  const sticks = YARDSTICKS.filter((stick) => rows.some((row) => typeof row[stick.name] === "number"));
  const [first, judged] = [sticks.slice(0, 1), sticks.slice(1)].map((some) =>
    some.map((stick) => ({
      label: stick.label,
      numeric: true,
      title: stick.meaning,
      value: (row: Row) => row[stick.name] ?? null,
      show: (row: Row) => withInterval(row, stick),
    })),
  ) as [Column<Row>[], Column<Row>[]];
  const drawn: Interval[] = ["necessity", "specificity", "over_matched"].flatMap((name) =>
    rows
      .filter((row) => typeof row[name] === "number")
      .map((row) => ({
        label: String(row.definition),
        group: name === "over_matched" ? "over matched" : name,
        value: Number(row[name]),
        low: row[`${name}_low`] as number | null,
        high: row[`${name}_high`] as number | null,
      })),
  );
  return (
    <>
      <h1>Definitions of a circuit</h1>
      <p>
        What counts as the circuit of a concept can be said in several ways. Each is judged by the
        same yardsticks, on prompts of other subject areas than it was found on; published circuits
        alone are of the prompts of all.
      </p>
      <dl class="meanings">
        {[...new Set(atlas.definitions.map((each) => each.name))].map((name) => (
          <>
            <dt>
              <a href={link({ page: "concepts", at: atlas.definitions.find((each) => each.name === name)?.key ?? "" }, place)}>{name}</a>
            </dt>
            <dd>{MEANING[name] ?? ""}</dd>
          </>
        ))}
      </dl>
      <form class="filter" onSubmit={(event) => event.preventDefault()}>
        <label>
          Concepts{" "}
          <select value={type} onChange={(event) => setType(event.currentTarget.value)}>
            {[...new Set(all.map((row) => String(row.type)))].map((each) => (
              <option value={each}>{TYPES[each] ?? each}</option>
            ))}
          </select>
        </label>
      </form>
      {drawn.length > 0 && (
        <Figure
          title="What ablating a circuit costs"
          name="definitions"
          alt={drawn.map((row) => `${row.label}, ${row.group}: ${signed(row.value)}`).join("; ")}
          deps={[type, atlas]}
          draw={(width) => ({
            ...intervals(drawn, width, "nats per token →", (row) => (row.low ?? 0) > 0),
            marginRight: 112,
            fy: { label: null, padding: 0.12, domain: [...new Set(drawn.map((row) => row.group))] },
          })}
        >
          Dots are means over concepts, lines 95% intervals over pairs and subject areas, coloured
          where above 0. Only specificity tells a concept’s own neurons from neurons that any code
          needs. “matched” is the control.
        </Figure>
      )}
      <DataTable
        caption="Leaderboard"
        name="leaderboard"
        rows={rows}
        columns={[
          { label: "definition", value: (row) => row.definition ?? null },
          { label: "neurons", numeric: true, title: "mean neurons of a circuit", value: (row) => row.size ?? null, show: (row) => number(row.size, 1) },
          ...first,
          { label: "core", numeric: true, title: "neurons in at least 90% of the circuits", value: (row) => row.core ?? null, show: (row) => number(row.core, 0) },
          ...judged,
        ]}
      />
      <dl class="meanings">
        {sticks.map((stick) => (
          <>
            <dt>{stick.label}</dt>
            <dd>{stick.meaning}</dd>
          </>
        ))}
      </dl>
    </>
  );
}
