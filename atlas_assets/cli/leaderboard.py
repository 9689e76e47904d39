"""``atlas leaderboard``: the definitions of a circuit, judged by the same yardsticks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import UNREADABLE, Answer, AnsweringCommand
from atlas_assets.cli.text import paragraph, table, table_in_room
from atlas_assets.errors import AtlasError

if TYPE_CHECKING:
    import polars as pl

    from atlas_assets.storage.store import AtlasStore

_HEADER = (
    *("definition", "type", "size", "identified", "necessity", "specificity"),
    *("over matched", "faithful", "above matched"),
)
#: where there is no room for all of it: values alone, by their names or by short ones
_VALUES = _HEADER[:7]
_SHORT = (*_HEADER[:3], "ident.", "nec.", "spec.", "over m.")


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
    words = in_words(board, all_run=ran_all(store, "circuit_leaderboard"))
    document = {"folder": str(store.root), "in_words": words, "leaderboard": shown}
    return Answer("atlas.leaderboard/1", document, lambda: _text(document))


def _text(document: dict[str, Any]) -> Iterator[str]:
    yield f"atlas: {document['folder']}"
    yield ""
    yield from _table(document["leaderboard"])
    yield ""
    yield from paragraph(document["in_words"], indent=0, hanging=0)


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the whole table, or where it does not fit one of values alone that does; else a list.

    A list is of one definition after the other, which nobody can compare.
    """
    whole = table_in_room(_HEADER, map(_row, rows))
    if whole is not None:
        return whole
    for header in (_VALUES, _SHORT):
        lines = table_in_room(header, map(_values, rows), {"over matched": len("matched")})
        if lines is not None:
            short = [
                f"{name} = {long}"
                for name, long in zip(header, _VALUES, strict=True)
                if name != long
            ]
            told = (
                "Left out for want of room: 95% intervals, faithful and above matched. A wider "
                "terminal shows them, and so does --json."
            )
            told = f"{told} {', '.join(short)}." if short else told
            return [*lines, "", *paragraph(told, hanging=0)]
    return table(_HEADER, map(_row, rows))


def _values(row: dict[str, Any]) -> tuple[object, ...]:
    share = row["identification_top1"]
    return (
        *(row["definition"], row["type"], f"{row['size']:.1f}"),
        None if share is None else f"{share:.1%}",
        *(
            None if row[name] is None else f"{row[name]:+.3f}"
            for name in ("necessity", "specificity", "over_matched")
        ),
    )


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    from atlas_assets.stages.circuits.yardsticks import share_with_interval

    tested = row["n_significant"] is not None
    return (
        row["definition"],
        row["type"],
        f"{row['size']:.1f}",
        share_with_interval(row),
        *(with_interval(row, name) for name in ("necessity", "specificity", "over_matched")),
        row["faithfulness_own"],
        f"{row['n_significant']} of {row['n_concepts']}" if tested else None,
    )


def with_interval(row: dict[str, Any], name: str) -> str | None:
    """Return a value with its interval, in nats per token; ``None`` where it is not known."""
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return None if value is None else f"{value:+.3f}"
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def ran_all(store: AtlasStore, key: str) -> bool:
    """Return whether a table is up to date and of the ablations of the job ``validate``."""
    with suppress(AtlasError):
        return store.exists("ablation") and all(
            store.stale_reason(each) is None for each in ("ablation", key)
        )
    return False
