"""Writes docs/artifacts.md: every artifact of the catalogue, as it is declared.

Run as ``python -m tools.document_artifacts`` from the repository; a test holds the page to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from atlas_assets.stages.artifact import Artifact, Layout
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.schema import Column
from atlas_assets.stages.setting import DEFINITIONS

PAGE = Path(__file__).parents[1] / "docs" / "artifacts.md"
_INTRODUCTION = """\
# The artifacts

Every file of an atlas, in the order of the pipeline. This page is made from the declarations in
`atlas_assets/stages` by `python -m tools.document_artifacts`; do not edit it. ε and C in a name
stand for the setting, as in `13_object_masks_eps0.5_cons0.8.h5`, and a definition for one of a
circuit, as in `circuits_calibrated.parquet` and `circuits_published-eps0.1_cons0.5.parquet`.
"""


def page() -> str:
    """The page, from the declarations; the same declarations give the same text."""
    parts = [_INTRODUCTION]
    group = ""
    for artifact in ARTIFACTS.values():
        if artifact.group != group:
            group = artifact.group
            _, number, name = group.split("_")
            parts.append(f"## Stage {number}: {name}\n")
        parts.append(_entry(artifact))
    return "\n".join(parts)


def _entry(artifact: Artifact) -> str:
    tag = "{definition}" if artifact.partitions is DEFINITIONS else "eps{ε}_cons{C}"
    name = artifact.filename.replace("{tag}", tag)
    facts = [f"`{name}`", f"asset `{artifact.key}`"]
    if artifact.inputs and not artifact.inputs_may_be_absent:
        facts.append("from " + ", ".join(f"`{key}`" for key in artifact.inputs))
    checks = ", ".join(f"`{name}`" for name in ("schema", *(c.name for c in artifact.checks)))
    facts.append(f"checks {checks}")
    lines = [f"### {artifact.title}\n", f"{'; '.join(facts)}.\n", f"{artifact.description}\n"]
    if isinstance(artifact.content, Layout):
        return "\n".join(lines)
    columns = [*artifact.content.columns]
    if artifact.content.series is not None:
        columns.append(artifact.content.series)
    lines += _table(columns)
    if artifact.content.own is not None:
        lines += [f"{artifact.of_own} Columns of own prompts:\n".lstrip()]
        lines += _table(artifact.content.own.columns)
    return "\n".join(lines)


def _table(columns: Iterable[Column]) -> list[str]:
    rows = [f"| `{each.name}` | {each.dtype} | {_cell(each.description)} |" for each in columns]
    return ["| column | type | meaning |", "|---|---|---|", *rows, ""]


def _cell(text: str) -> str:
    """The text of a cell, taken literally; ``{}`` stands for the number of a column."""
    return re.sub(r"([|_*`])", r"\\\1", text.replace("{}", "0, 1, …"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
