"""Runs the harness: ``python -m reliability [PART ...] [--seed N] [--cases N] [--minutes M]``."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from benchmarks import report
from reliability.rows import Row, as_json, table

ROOT = Path(__file__).resolve().parents[1]
#: part → what it does, in the order of a full run; each is a module with `run`
PARTS = {
    "writes": "kills inside single writes of every format",
    "jobs": "kills of the whole job atlas",
    "races": "several processes at once, stopped writers, clocks that jump",
    "disks": "full, read-only and slow disks; few descriptors, little memory",
    "hub": "kills of fetch and publish",
    "ticks": "sensors that follow a model, with and without a change",
    "fuzz": "mutated files for every reader",
}


@click.command()
@click.argument("names", metavar="[PART]...", nargs=-1)
@click.option("--seed", default=1, show_default=True, help="Of all draws.")
@click.option("--cases", type=click.IntRange(1), help="Cases per part, instead of its own number.")
@click.option("--minutes", type=float, help="Begin no case of a part after so long.")
@click.option("--write", is_flag=True, help="Also put the figures into docs/reliability.md.")
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the figures in this JSON file; with --write it is docs/reliability.json.",
)
@click.option("--list", "list_them", is_flag=True, help="Name the parts.")
def main(
    names: tuple[str, ...],
    seed: int,
    cases: int | None,
    minutes: float | None,
    write: bool,
    results: Path | None,
    list_them: bool,
) -> None:
    """Run the named parts (default: all) and print what they found; exit with 1 for any fault."""
    present = {name: told for name, told in PARTS.items() if _is_there(name)}
    if list_them:
        for name, told in present.items():
            click.echo(f"{name:12}{told}")
        return
    strangers = sorted(set(names) - set(present))
    if strangers:
        raise click.UsageError(f"no such part: {', '.join(strangers)}; see --list")
    kept = ROOT / "docs" / "reliability.json" if write else results
    document = {"parts": {}, **(report.read(kept) if kept else {})}
    broken = 0
    for name in names or tuple(present):
        click.echo(f"{name}: {PARTS[name]} ...", err=True)
        rows = _run(name, seed, cases, minutes)
        document = _merged(document, name, seed, rows)
        for note in (note for row in rows for note in row.notes):
            click.echo(f"{name}, {note}", err=True)
        broken += sum(row.broken for row in rows)
        if kept:  # at once: a whole run takes long
            kept.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        if write:
            report.fill_in(ROOT / "docs" / "reliability.md", _markdown(document))
    click.echo(_markdown(document))
    sys.exit(1 if broken else 0)


def _is_there(name: str) -> bool:
    return importlib.util.find_spec(f"reliability.{name}") is not None


def _run(name: str, seed: int, cases: int | None, minutes: float | None) -> list[Row]:
    """A part's rows; `cases` None means the part's own number, `until` is a monotonic time."""
    until = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    module = importlib.import_module(f"reliability.{name}")
    rows: list[Row] = module.run(seed=seed, cases=cases, until=until)
    return rows


def _merged(document: dict[str, Any], name: str, seed: int, rows: list[Row]) -> dict[str, Any]:
    """The document with a part's rows in place of the earlier ones of that part."""
    date = datetime.now(UTC).date().isoformat()
    found = {"seed": seed, "date": date, "machine": report.describe_machine()}
    parts = {**document["parts"], name: {**found, "rows": as_json(rows)}}
    return {"parts": {part: parts[part] for part in PARTS if part in parts}}


def _markdown(document: dict[str, Any]) -> str:
    """The table of each part, below the machine where it differs from the part before."""
    texts, machine = [], ""
    for name, found in document["parts"].items():
        if found["machine"] != machine:
            machine = found["machine"]
            texts.append(machine)
        texts += [f"### {name}: {PARTS[name]}", f"Seed {found['seed']}, {found['date']}."]
        texts.append(table(found["rows"]))
    return "\n\n".join(texts) + "\n"


if __name__ == "__main__":
    main()
