"""The numbers as JSON, and as the Markdown that docs/performance.md holds between two marks."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measure import Findings, Measurement

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
PACKAGES = ("torch", "numpy", "numba", "scipy", "h5py", "polars", "dagster", "transformers")

Document = dict[str, Any]


def read(path: Path) -> Document:
    """What was measured before; nothing where there is no such file."""
    return json.loads(path.read_text()) if path.exists() else {"sections": {}}


def merged(document: Document, found: Mapping[str, Findings], order: Mapping[str, str]) -> Document:
    """``document`` with the sections that were measured now in place of theirs.

    Sections measured on another machine or with other versions are left out.
    """
    machine = describe_machine()
    earlier = document["sections"] if document.get("machine") == machine else {}
    sections = {**earlier, **{name: asdict(of) for name, of in found.items()}}
    return {"machine": machine, "sections": {n: sections[n] for n in order if n in sections}}


def write(path: Path, document: Document) -> None:
    """As JSON, the same layout whenever the numbers are the same."""
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def markdown(
    document: Document, sections: Mapping[str, str], *, only: Sequence[str] | None = None
) -> str:
    """The machine, and a table per section."""
    parts = [document["machine"]]
    for name, of in document["sections"].items():
        if only is None or name in only:
            parts += [f"### {name}: {sections[name]}", _measurements(of["measurements"])]
            parts += [_table(table) for table in of["tables"]]
    return "\n\n".join(parts) + "\n"


def fill_in(path: Path, text: str) -> None:
    """Puts ``text`` between the marks of a document.

    Raises:
        RuntimeError: the document lacks the marks.
    """
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"{path} has no place for the numbers: {BEGIN} … {END}")
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def describe_machine() -> str:
    """Processor, cores, memory, system and versions in a sentence."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {pages / 2**30:.0f} GiB of memory, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {versions}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _measurements(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| what | seen | bar | |", "|---|---|---|---|"]
    for fields in rows:
        row = Measurement(**fields)
        what = f"{row.what} ({row.note})" if row.note else row.what
        seen = f"{_number(row.seen)} {row.unit}".rstrip()
        lines.append(f"| {what} | {seen} | {row.bar} | {row.verdict} |")
    return "\n".join(lines)


def _table(table: Mapping[str, Any]) -> str:
    head = "| " + " | ".join(table["columns"]) + " |"
    rule = "|---" * len(table["columns"]) + "|"
    rows = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in table["rows"]]
    return "\n".join([f"{table['title']}:", "", head, rule, *rows])


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    """Three significant digits, thousands apart, no exponent; whole numbers in full."""
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0:
        return "0"
    digits = max(0, 2 - _exponent(abs(value)))
    return f"{round(value, digits):,.{digits}f}"


def _exponent(value: float) -> int:
    """Of the first significant digit."""
    return int(f"{value:e}".partition("e")[2])
