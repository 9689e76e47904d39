"""Whether prompts are what they say: numbered without a gap, Python, and about their concept.

Each function raises ArtifactError for the first row that is not, and returns how many it looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import lru_cache
from typing import NoReturn

import polars as pl

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.prompts.checker_prompts import avoids_concept
from atlas_assets.stages.prompts.stimuli import Keyword


# the prompts of a whole grid: claims and checks ask the same of them several times in a run
@lru_cache(maxsize=2**17)
def shows_node(text: str, ast_node: str) -> bool:
    """Whether a text is Python in which a node of that type occurs (what ``ast_verified`` says)."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return any(type(node).__name__ == ast_node for node in ast.walk(tree))


def object_prompts_show_their_node(table: pl.DataFrame) -> int:
    """Every object prompt parses, holds its AST node, and is marked as verified.

    Args:
        table: columns ``ast_node``, ``prompt_text``, ``ast_verified``.

    Returns:
        The number of distinct texts.
    """
    distinct = table.select("ast_node", "prompt_text", "ast_verified").unique(maintain_order=True)
    for ast_node, text, verified in distinct.rows():
        if not verified:
            _unsound(f"a prompt of {ast_node}", "ast_verified", f"not verified: {text!r}")
        if not shows_node(text, ast_node):
            _unsound(f"a prompt of {ast_node}", f"Python with a node {ast_node}", repr(text))
    return distinct.height


def checker_prompts_avoid_their_concept(
    table: pl.DataFrame, keywords: Mapping[str, Keyword]
) -> int:
    """Every checker prompt parses, holds its concept's keyword, and does not show the concept.

    Args:
        table: columns ``object``, ``keyword``, ``prompt_text``.
        keywords: of the testable concepts, as the stimuli have them.

    Returns:
        The number of distinct texts.
    """
    distinct = table.select("object", "keyword", "prompt_text").unique(maintain_order=True)
    for concept, keyword, text in distinct.rows():
        entry = keywords.get(concept)
        if entry is None or entry.keyword != keyword:
            wanted = f"the keyword {entry.keyword!r}" if entry else "a concept that has a keyword"
            _unsound(concept, wanted, repr(keyword))
        if keyword not in text:
            _unsound(f"a prompt of {concept}", f"the keyword {keyword!r} in it", repr(text))
        if not avoids_concept(text, entry):
            _unsound(f"a prompt of {concept}", "Python without the concept", repr(text))
    return distinct.height


def object_prompts_are_complete(table: pl.DataFrame, variations: int | None) -> int:
    """Every pair has the same prompts, numbered from 0.

    Args:
        table: columns ``ast_node``, ``builtin_obj``, ``variation_id``.
        variations: how many each pair must have; ``None`` = as many as the first.

    Returns:
        The number of pairs.
    """
    pairs = _numbering(table, "ast_node", "builtin_obj")
    wanted = pairs["rows"][0] if variations is None else variations
    _require_numbered(pairs, pl.col("rows") == wanted, f"{wanted} prompts, numbered from 0")
    return pairs.height


def checker_prompts_are_complete(table: pl.DataFrame, at_most: int) -> int:
    """Every concept's prompts are numbered from 0, and no more than the published target.

    Args:
        table: columns ``object``, ``variation_id``.
        at_most: the target, 50.

    Returns:
        The number of concepts.
    """
    concepts = _numbering(table, "object")
    expected = f"at most {at_most} prompts, numbered from 0"
    _require_numbered(concepts, pl.col("rows") <= at_most, expected)
    return concepts.height


def units_have_their_prompts(activations: Activations, prompts: Mapping[str, int]) -> int:
    """Activations are of exactly the units that have prompts, over all of them.

    Args:
        activations: of pairs or concepts.
        prompts: unit → number of its prompts.

    Returns:
        The number of units.
    """
    found = dict(zip(activations.names, activations.n_prompts.tolist(), strict=True))
    for unit in sorted(found.keys() | prompts.keys()):
        wanted, here = prompts.get(unit, 0), found.get(unit, 0)
        if wanted != here:
            _unsound(unit, f"activations over {wanted} prompts", f"over {here}")
    return len(found)


def _numbering(table: pl.DataFrame, *unit: str) -> pl.DataFrame:
    if table.is_empty():
        _unsound("the prompts", "at least one", "none")
    number = pl.col("variation_id")
    return (
        table.group_by(unit)
        .agg(
            pl.len().alias("rows"),
            number.n_unique().alias("distinct"),
            number.min().alias("first"),
            number.max().alias("last"),
        )
        .sort(unit)
    )


def _require_numbered(units: pl.DataFrame, enough: pl.Expr, expected: str) -> None:
    gapless = (
        (pl.col("first") == 0)
        & (pl.col("last") == pl.col("rows") - 1)
        & (pl.col("distinct") == pl.col("rows"))
    )
    for row in units.filter(~(enough & gapless)).head(1).iter_rows(named=True):
        unit = " × ".join(
            str(value)
            for name, value in row.items()
            if name not in ("rows", "distinct", "first", "last")
        )
        _unsound(unit, expected, f"{row['rows']}, from {row['first']} to {row['last']}")


def _unsound(where: str, expected: str, found: str) -> NoReturn:
    raise ArtifactError(
        "the prompts are not sound",
        where=where,
        expected=expected,
        found=found if len(found) <= 200 else f"{found[:197]}...",
        remedy="materialise the prompts again, or fetch the file again if it was downloaded",
    )
