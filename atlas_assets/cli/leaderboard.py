"""``atlas leaderboard``: the definitions of a circuit, judged by the same yardsticks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import UNREADABLE, Answer, AnsweringCommand
from atlas_assets.cli.text import paragraph, table

if TYPE_CHECKING:
    import polars as pl

_HEADER = (
    *("definition", "type", "size", "identified", "necessity", "specificity"),
    *("over matched", "faithful", "above matched"),
)


@click.command(
    cls=AnsweringCommand, exit_codes={UNREADABLE: "the leaderboard is missing or cannot be read"}
)
@click.option("--all", "everything", is_flag=True, help="The published one at every setting, too.")
def leaderboard(everything: bool) -> Answer:
    """Compare definitions of a circuit: which identifies its concept, which is specific to it.

    Necessity is how much the loss rises, in nats per token, on prompts of the concept when its
    circuit is put to its mean; specificity is that less the rise on prompts of other concepts; over
    matched is that less the rise by the neurons nearest in strength that are left, which are weaker
    where a circuit has taken the strongest. Identified is the share of a concept's pairs, on
    average over concepts. Brackets are 95% intervals over (pair, subject area), of identified over
    concepts.
    """
    from atlas_assets.atlas.open import open_in_force, require_file
    from atlas_assets.settings import AtlasSettings
    from atlas_assets.stages.circuits.yardsticks import in_words

    store = open_in_force(AtlasSettings.from_env())
    require_file(store, "circuit_leaderboard")
    board: pl.DataFrame = store.read("circuit_leaderboard")
    shown = [row for row in board.rows(named=True) if everything or "@" not in row["definition"]]
    words = in_words(board)
    document = {"folder": str(store.root), "in_words": words, "leaderboard": shown}
    return Answer("atlas.leaderboard/1", document, lambda: _text(document))


def _text(document: dict[str, Any]) -> Iterator[str]:
    yield f"atlas: {document['folder']}"
    yield ""
    yield from table(_HEADER, map(_row, document["leaderboard"]))
    yield ""
    yield from paragraph(document["in_words"], indent=0, hanging=0)


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    tested = row["n_significant"] is not None
    return (
        row["definition"],
        row["type"],
        f"{row['size']:.1f}",
        _identified(row),
        *(with_interval(row, name) for name in ("necessity", "specificity", "over_matched")),
        row["faithfulness_own"],
        f"{row['n_significant']} of {row['n_concepts']}" if tested else None,
    )


def _identified(row: dict[str, Any]) -> str | None:
    value, low, high = (row[f"identification_top1{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return None
    return f"{value:.1%}" if low is None else f"{value:.1%} [{low:.1%}, {high:.1%}]"


def with_interval(row: dict[str, Any], name: str) -> str | None:
    """Return a value with its interval, in nats per token; ``None`` where it is not known."""
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return None if value is None else f"{value:+.3f}"
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
