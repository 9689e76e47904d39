"""Where a prompt is read besides its last token, found in the prompt's own syntax tree.

- ``concept``: the end of the target node: of the nodes of the pair's AST type, the one that starts
  last (of two that start together, the outer one), outside the padding lines.
- ``name``: the end of the builtin's name, where the prompt uses it: of such names, the one that
  starts last, outside the padding lines.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection
from functools import cache
from typing import Literal, NamedTuple, get_args

from atlas_assets.stages.prompts.stimuli import Stimuli
from atlas_assets.stages.prompts.syntax import nodes_of

Position = Literal["concept", "name"]
POSITIONS: tuple[Position, ...] = get_args(Position)


class Landmarks:
    """Finds concepts and names in prompts; what texts share outside the padding is parsed once.

    Args:
        padding: the lines that may stand around what a prompt is about.
    """

    def __init__(self, padding: Collection[str]) -> None:
        self._padding = frozenset(padding)
        self._ends = cache(_ends_in)

    @classmethod
    def of(cls, stimuli: Stimuli) -> Landmarks:
        """Return what finds concepts in the prompts of an inventory."""
        tables = stimuli.object_prompts
        return cls({*tables.padding_before, *tables.padding_after} - {""})

    def concept_end(self, text: str, ast_node: str) -> int | None:
        """Return the number of characters up to the end of the target node, if there is one."""
        return self._find(text, lambda ends: ends.nodes.get(ast_node))

    def keyword_end(self, text: str, ast_node: str, keyword: str) -> int | None:
        """Return the number of characters up to the end of the target node's keyword.

        It is the first one from the node's start on; ``None`` where there is no such node or word.
        """
        start = self._find(text, lambda ends: ends.starts.get(ast_node))
        if start is None:
            return None
        found = re.compile(rf"\b{re.escape(keyword)}\b").search(text, start)
        return None if found is None else found.end()

    def name_end(self, text: str, builtin: str) -> int | None:
        """Return the number of characters up to the end of the builtin's name, if it is used."""
        return self._find(text, lambda ends: ends.names.get(builtin))

    def _find(self, text: str, choose: Callable[[_Ends], _Place | None]) -> int | None:
        lines = text.split("\n")
        kept = [number for number, line in enumerate(lines) if line.strip() not in self._padding]
        place = choose(self._ends("\n".join(lines[number] for number in kept)))
        if place is None:
            return None
        before = lines[: kept[place.line]]
        return sum(map(len, before)) + len(before) + place.column


class _Place(NamedTuple):
    """A place in a source: the line, and the characters of the line before it, both from 0."""

    line: int
    column: int


class _Ends(NamedTuple):
    """Where the last-starting node of each type, and the last use of each name, ends.

    Nodes have a start too.
    """

    nodes: dict[str, _Place]
    names: dict[str, _Place]
    starts: dict[str, _Place]


def _ends_in(source: str) -> _Ends:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return _Ends({}, {}, {})
    nodes: dict[str, ast.expr | ast.stmt] = {}
    names: dict[str, ast.expr | ast.stmt] = {}
    for node in nodes_of(tree):  # parents before their children
        if isinstance(node, ast.expr | ast.stmt):
            _keep_last(nodes, type(node).__name__, node)
            if isinstance(node, ast.Name):
                _keep_last(names, node.id, node)
    lines = source.split("\n")
    return _Ends(
        {key: _end(node, lines) for key, node in nodes.items()},
        {key: _end(node, lines) for key, node in names.items()},
        {key: _place(lines, *_start(node)) for key, node in nodes.items()},
    )


def _keep_last(kept: dict[str, ast.expr | ast.stmt], key: str, node: ast.expr | ast.stmt) -> None:
    earlier = kept.get(key)
    if earlier is None or _start(node) > _start(earlier):
        kept[key] = node


def _start(node: ast.expr | ast.stmt) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _end(node: ast.expr | ast.stmt, lines: list[str]) -> _Place:
    return _place(lines, node.end_lineno or node.lineno, node.end_col_offset or 0)


def _place(lines: list[str], line: int, n_bytes: int) -> _Place:
    """Return the place after so many bytes of a line, which is counted from 1."""
    return _Place(line - 1, len(lines[line - 1].encode()[:n_bytes].decode()))
