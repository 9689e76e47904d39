"""Commands that messages, docstrings and documents name exist, with the options that are named."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from atlas_assets.cli.app import atlas

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "atlas_assets"
#: a command between backticks, or one with an option anywhere
QUOTED = re.compile(r"`+atlas ([a-z]+)([^`\n]*)`")
WITH_OPTION = re.compile(r"\batlas ([a-z]+)((?: [^\s`.,;()]+)*? --[a-z][^\n`.,;()]*)")
FENCED = re.compile(r"^(?:[A-Z_]+=\S+ )*atlas ([a-z]+)([^#\n]*)", re.MULTILINE)
OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")


def unknown_in(text: str) -> Iterator[str]:
    """Yield each command of ``atlas`` in a text that does not exist, or lacks an option named."""
    found = [*QUOTED.findall(text), *WITH_OPTION.findall(text)]
    for block in re.findall(r"^```(?:bash|sh|console)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        found += FENCED.findall(block)
    for name, rest in found:
        command = atlas.commands.get(name)
        if command is None:
            yield f"atlas {name}"
            continue
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        known |= {"--help", *click.Context(command).help_option_names}
        yield from (
            f"atlas {name} {option}" for option in OPTION.findall(rest) if option not in known
        )


def strings_of(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for path in PACKAGE.rglob("*.py")}),
    ids=lambda folder: str(folder.relative_to(ROOT)),
)
def test_of_messages_and_docstrings(folder: Path) -> None:
    unknown = {
        f"{source.relative_to(ROOT)}: {command}"
        for source in sorted(folder.glob("*.py"))
        for text in strings_of(source)
        for command in unknown_in(text)
    }
    assert unknown == set()


def test_of_documents() -> None:
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    documents += sorted(PACKAGE.rglob("*.j2"))
    named = {
        f"{document.name}: {command}"
        for document in documents
        for command in unknown_in(document.read_text(encoding="utf-8"))
    }
    assert named == set()


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("make the rest (atlas build --select), or fewer", ["atlas build --select"]),
        ("`atlas nothing` makes it", ["atlas nothing"]),
        ("an atlas of circuits, (atlas or none)", []),
        (
            "```\nATLAS_NAME=x atlas show Break --everything  # all\n```",
            ["atlas show --everything"],
        ),
        ("`atlas show Break --json`", []),
    ],
)
def test_what_is_looked_for(text: str, unknown: list[str]) -> None:
    assert list(dict.fromkeys(unknown_in(text))) == unknown
