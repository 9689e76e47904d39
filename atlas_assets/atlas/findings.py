"""What an atlas shows, in a few sentences, and the setting at which its circuits differ most."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from atlas_assets.atlas.concept_names import bare_name
from atlas_assets.errors import ArtifactError
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets.storage.folder import settings_present
from atlas_assets.storage.store import AtlasStore

_TOLD = {"ast": "AST nodes", "builtin": "builtins", "own": "own concepts"}


def most_distinct(store: AtlasStore) -> tuple[Setting, float] | None:
    """Return the setting with the most different circuits per layer, and how many, on average.

    Of equal ones it is the reference setting, else the first. ``None`` where
    ``circuit_distinctness`` is not there, or no masks are at any setting that it names.
    """
    table = _table(store, "circuit_distinctness")
    if table is None:
        return None
    there = settings_present(store.root, "object_masks")
    means = table.group_by("epsilon", "consistency").agg(pl.col("distinct").mean())
    found = {Setting(e, c): float(distinct) for e, c, distinct in means.rows()}
    ranked = sorted(
        (setting for setting in found if setting in there),
        key=lambda setting: (-found[setting], setting != REFERENCE, setting),
    )
    return (ranked[0], found[ranked[0]]) if ranked else None


def findings(store: AtlasStore) -> list[str]:
    """Return what the atlas shows: up to three sentences, of the files that are there."""
    return [*_distinct(store), *_fractions(store), *_identified(store), *_apart(store)][:3]


def _table(store: AtlasStore, key: str) -> pl.DataFrame | None:
    try:
        found: pl.DataFrame = store.read(key)
    except ArtifactError:
        return None
    return found if found.height else None


def _distinct(store: AtlasStore) -> Iterator[str]:
    best, table = most_distinct(store), _table(store, "circuit_distinctness")
    if best is None or table is None:
        return
    setting, mean = best
    concepts = table.filter(epsilon=setting.epsilon, consistency=setting.consistency)["n_circuits"]
    yield (
        f"Circuits differ most at {setting}: {concepts.to_list()[0]} concepts have {mean:.0f} "
        "different circuits per layer, on average."
    )


def _fractions(store: AtlasStore) -> Iterator[str]:
    table, best = _table(store, "summary"), most_distinct(store)
    if table is None or best is None:
        return
    setting = best[0]
    for row in table.filter(epsilon=setting.epsilon, consistency=setting.consistency).rows(
        named=True
    ):
        ast, builtin = row["ast_concept_fraction"], row["blt_concept_fraction"]
        if row["n_ast"] and row["n_builtin"]:
            yield (
                f"At {setting}, {ast:.0%} of the neurons in the circuit of an AST node are not in "
                f"that of its keyword alone; of a builtin's, {builtin:.0%}."
            )


def _identified(store: AtlasStore) -> Iterator[str]:
    """What the yardsticks say of the definition that identifies best, per kind of concept."""
    table = _table(store, "circuit_leaderboard")
    if table is None:
        return
    said = []
    for kind, told in _TOLD.items():
        judged = table.filter(~pl.col("definition").str.contains("@"), type=kind)
        judged = judged.drop_nulls("identification_top1")
        for row in judged.sort("identification_top1", descending=True)[:1].rows(named=True):
            chance = 1 / row["n_concepts"]
            said.append(
                f"{row['identification_top1']:.0%} of {told} ({row['definition']} circuits; by "
                f"chance {chance:.0%})"
            )
    if said:
        yield f"On prompts held out, circuits identify {' and '.join(said)}."


def _apart(store: AtlasStore) -> Iterator[str]:
    table = _table(store, "modularity_scores")
    if table is None:
        return
    first, score = table.sort("p=0.0", descending=True).select(table.columns[0], "p=0.0").row(0)
    if score:
        yield f"The circuit that stands furthest apart is that of {bare_name(first)}."
