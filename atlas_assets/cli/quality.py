"""``atlas quality``: every yardstick of one concept's circuits, or of all concepts by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import UNREADABLE, USAGE, Answer, AnsweringCommand
from atlas_assets.cli.leaderboard import ran_all, with_interval
from atlas_assets.cli.options import complete_concept, typed_definition
from atlas_assets.cli.text import paragraph, table
from atlas_assets.errors import SettingsError, expect
from atlas_assets.stages.setting import PUBLISHED

if TYPE_CHECKING:
    import polars as pl

    from atlas_assets.storage.store import AtlasStore

_HEADER = (
    *("size", "core", "identified", "rank", "halves"),
    *("necessity", "specificity", "over matched", "q"),
)


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        USAGE: "there is no such concept or definition, or an ATLAS_* variable is wrong",
        UNREADABLE: "the yardsticks are missing or cannot be read",
    },
)
@click.argument("concept", required=False, shell_complete=complete_concept)
@click.option(
    *("--definition", "-d"),
    help="Only this definition. Default: of a concept, every one; of all, published.",
)
def quality(concept: str | None, definition: str | None) -> Answer:
    """Judge the circuits of one CONCEPT by every definition, or of all concepts by one definition.

    The yardsticks are those of `atlas leaderboard`. Core: neurons that at least 90% of all circuits
    hold; identified: the share of the concept's pairs, in other subject areas, that rank its
    circuit first among those of its type; rank: its mean rank; halves: Jaccard similarity of its
    circuits from two halves of the prompts; q: of over matched, after Benjamini and Hochberg.
    """
    from atlas_assets.atlas.concept_names import find_concept
    from atlas_assets.atlas.open import open_in_force, require_file
    from atlas_assets.settings import AtlasSettings

    store = open_in_force(AtlasSettings.from_env())
    require_file(store, "circuit_quality")
    judged: pl.DataFrame = store.read("circuit_quality")
    rows, heads, about = judged, "definition", ""
    if concept is not None:
        about = find_concept(concept, tuple(judged["concept"].unique().sort()))
        rows = rows.filter(concept=about)
    if definition is not None or concept is None:
        only = _definition(PUBLISHED if definition is None else definition, judged)
        rows = rows.filter(definition=only)
    if concept is None:
        about, heads = only, "concept"
    document = {"folder": str(store.root), "about": about, "quality": rows.rows(named=True)}
    if concept is not None:
        document["pruned"] = _pruned(store, about, rows["definition"].to_list())
    all_run = ran_all(store, "circuit_quality")
    return Answer("atlas.quality/1", document, lambda: _text(document, heads, all_run=all_run))


def _pruned(store: AtlasStore, concept: str, definitions: list[str]) -> list[dict[str, Any]]:
    """Return the smallest faithful parts of a concept's circuits, where they are up to date."""
    key = "pruned_circuits"
    if not store.exists(key) or store.stale_reason(key) is not None:
        return []
    table: pl.DataFrame = store.read(key)
    rows = table.filter(concept=concept).rows(named=True)
    return [row for row in rows if row["definition"] in definitions]


def _definition(typed: str, judged: pl.DataFrame) -> str:
    definition = typed_definition(typed)
    known = tuple(judged["definition"].unique(maintain_order=True))
    expect(
        definition in known,
        SettingsError,
        "the atlas has no circuits by that definition",
        where="--definition",
        expected=" or ".join(known),
        found=repr(typed),
        remedy="name one of those",
    )
    return definition


def _text(document: dict[str, Any], heads: str, *, all_run: bool) -> Iterator[str]:
    yield f"{document['about']}, in the atlas {document['folder']}"
    yield ""
    yield from table((heads, *_HEADER), (_row(row, heads) for row in document["quality"]))
    for row in document.get("pruned", ()):
        yield ""
        yield from paragraph(_part_told(row), indent=0, hanging=2)
    if lacking := without_interval(document["quality"], all_run=all_run):
        yield ""
        yield from paragraph(lacking, indent=0, hanging=0)


def _part_told(row: dict[str, Any]) -> str:
    """Return what is left of a circuit in words."""
    start = f"smallest faithful part of {row['definition']}:"
    if row["kept"] is None:
        return f"{start} none, for the circuit is empty, or not faithful on the prompts tried"
    test, whole = row["kept_test"], row["faithfulness_test"]
    kept = (
        f"; on prompts of other domains {test:.2f}, of the whole {whole:.2f}"
        if test is not None and whole is not None
        else ""
    )
    return (
        f"{start} {row['kept']} of {row['size']} neurons, with faithfulness "
        f"{row['kept_sought']:.2f} of {row['faithfulness_sought']:.2f} where it was sought{kept}: "
        f"{row['neurons']}"
    )


def without_interval(rows: Iterable[dict[str, Any]], *, all_run: bool) -> str:
    """Return what the rows that lack intervals had too few of; empty where none lacks them.

    With ``all_run``, the job ``validate`` has run all prompts that there are.
    """
    from atlas_assets.stages.circuits.ablation import EXACT
    from atlas_assets.stages.circuits.quality import LEAST_CLUSTERS, LEAST_PROMPTS

    lacking = [row for row in rows if row["n_prompts"] and row["necessity_low"] is None]
    if not lacking:
        return ""
    counted = []
    for name, least, of in (
        ("n_prompts", LEAST_PROMPTS, "own prompts"),
        ("n_clusters", LEAST_CLUSTERS, "pairs and subject areas"),
    ):
        numbers = [row[name] for row in lacking if row[name] < least]
        if numbers:
            low, high = min(numbers), max(numbers)
            found = f"{low}" if low == high else f"{low} to {high}"
            counted.append(f"{least} {of}, of which there were {found}")
    more = (
        "; the job validate has run, and this atlas has no more prompts to judge circuits by"
        if all_run
        else f"; the job validate runs up to {EXACT.own} own prompts of each concept"
    )
    few = any(row["n_prompts"] < LEAST_PROMPTS for row in lacking)
    return f"An interval takes {', and '.join(counted)}{more if few else ''}."


def _row(row: dict[str, Any], heads: str) -> tuple[object, ...]:
    return (
        row[heads],
        row["size"],
        row["core"],
        _shown(row["identification_top1"], ".1%"),
        _shown(row["identification_rank"], ".1f"),
        _shown(row["split_half"], ".2f"),
        *(with_interval(row, name) for name in ("necessity", "specificity", "over_matched")),
        _shown(row["q_value"], ".3f"),
    )


def _shown(value: float | None, form: str) -> str | None:
    return None if value is None else format(value, form)
