"""Token independence: how much of a circuit its keyword alone explains (docs/science.md §5).

The comparison of ``decomposition``, concept by concept and layer by layer, with the token-checker
masks as B; and the concepts that no keyword gives away.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from atlas_assets.errors import ArtifactError, ProvenanceError
from atlas_assets.stages import columns as col
from atlas_assets.stages.artifact import Artifact, Entry, Needs
from atlas_assets.stages.check import (
    ADDS_UP,
    Check,
    Details,
    Inspected,
    agrees_with_inputs,
    circuits_add_up,
    contradicts,
    rows_cover,
)
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.decomposition.decomposition import counts
from atlas_assets.stages.making import Making, with_universal
from atlas_assets.stages.masks.masks import CheckerMasks, Masks, universal_from_table
from atlas_assets.stages.prompts.checker_prompts import keyword_of
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.report.table import FEW, TOP, Table, both_ends, table
from atlas_assets.stages.rounding import fractions, means
from atlas_assets.stages.schema import Column, TableSchema
from atlas_assets.stages.setting import Setting

_AVERAGED = ("concept_fraction", "token_fraction", "A_size", "A_and_B", "A_only", "B_only")
_CIRCUITS = "A = universal mask, B = token-checker mask"
_OR_0 = " (0 where A is empty)"
DETAIL_SCHEMA = TableSchema(
    columns=(
        col.count("A_size", f"|A|, number of neurons; {_CIRCUITS}"),
        col.count("B_size", "|B|, number of neurons"),
        col.count("A_only", "|A∖B|, number of neurons"),
        col.count("A_and_B", "|A∩B|, number of neurons"),
        col.count("B_only", "|B∖A|, number of neurons"),
        col.share("token_fraction", "|A∩B| / |A|, 0 where A is empty, 4 decimals"),
        col.share("concept_fraction", "|A∖B| / |A|, 0 where A is empty, 4 decimals"),
        col.concept("object", "concept"),
        col.KIND,
        col.KEYWORD,
        col.LAYER,
    ),
    key=("object", "layer"),
    rules=(
        col.sum_of("A_size", "A_only", "A_and_B"),
        col.sum_of("B_size", "B_only", "A_and_B"),
        col.shares_of("A_size", "token_fraction", "concept_fraction"),
    ),
)
SUMMARY_SCHEMA = TableSchema(
    columns=(
        col.concept("object", "concept"),
        col.KIND,
        col.KEYWORD,
        col.share("concept_fraction", f"mean over layers of |A∖B| / |A|{_OR_0}; {_CIRCUITS}"),
        col.share("token_fraction", f"mean over layers of |A∩B| / |A|{_OR_0}"),
        col.mean("A_size", "mean over layers of |A|"),
        col.mean("A_and_B", "mean over layers of |A∩B|"),
        col.mean("A_only", "mean over layers of |A∖B|"),
        col.mean("B_only", "mean over layers of |B∖A|"),
    ),
    key=("object",),
)

NO_KEYWORD_SCHEMA = TableSchema(
    columns=(
        col.concept("object", "concept that no keyword gives away"),
        Column("status", pl.String(), "always no_keyword", allowed=("no_keyword",)),
    ),
    key=("object",),
)


def detail(universal: Masks, checker: Masks, keywords: Mapping[str, str]) -> pl.DataFrame:
    """Return the published table per concept of the token-checker masks (B) and layer.

    Columns are ``DETAIL_SCHEMA``, fractions to 4 decimals; rows are in the order of concepts, then
    layers. A checked concept without a keyword is an ArtifactError; further errors as in `counts`.
    """
    strangers = sorted(set(checker.names) - set(keywords))
    if strangers:
        raise ArtifactError(
            "a concept has a token-checker mask and no keyword",
            where=", ".join(strangers),
            expected="every checked concept in the keyword table of the stimuli",
            found=f"{len(keywords)} keywords, none for {len(strangers)} of the checked concepts",
            remedy="materialise token_checker_prompts and token_checker_masks again",
        )
    concept_only, shared, token_only = np.moveaxis(counts(universal, checker), -1, 0)
    sizes = concept_only + shared
    n_layers = checker.n_layers
    objects = [name for name in checker.names for _ in range(n_layers)]
    columns = {
        "A_size": sizes.ravel(),
        "B_size": (shared + token_only).ravel(),
        "A_only": concept_only.ravel(),
        "A_and_B": shared.ravel(),
        "B_only": token_only.ravel(),
        "token_fraction": fractions(shared, sizes).ravel(),
        "concept_fraction": fractions(concept_only, sizes).ravel(),
        "object": objects,
        "type": [split_concept(name)[0] for name in objects],
        "keyword": [keywords[name] for name in objects],
        "layer": np.tile(np.arange(n_layers), len(checker.names)),
    }
    return pl.DataFrame(columns, schema=DETAIL_SCHEMA.polars)


def summary(detail: pl.DataFrame) -> pl.DataFrame:
    """Return the published table per concept: means of the detail over layers, 4 decimals.

    Columns are ``SUMMARY_SCHEMA``; rows are sorted by ``concept_fraction`` descending, then by
    ``object``. The release leaves equal fractions in the order of an unstable sort, which differs
    between processors; only the order of rows tells the two files apart.
    """
    groups = detail.sort("object", "layer").group_by("object", "type", "keyword")
    rows = [
        (*key, *means(group.select(_AVERAGED).to_numpy().astype(np.float64)).tolist())
        for key, group in groups
    ]
    table = pl.DataFrame(rows, schema=SUMMARY_SCHEMA.polars, orient="row")
    return table.sort("concept_fraction", "object", descending=[True, False])


def no_keyword(universal: Masks, keywords: Mapping[str, str]) -> pl.DataFrame:
    """Return the concepts that have no keyword, sorted, with the status ``no_keyword``."""
    rows = [(name, "no_keyword") for name in universal.names if name not in keywords]
    return pl.DataFrame(rows, schema=NO_KEYWORD_SCHEMA.polars, orient="row")


def summary_shown(summary: pl.DataFrame) -> Table:
    """Return a table of the concepts that their keywords explain least, and most."""
    columns = ["object", "keyword", "concept_fraction", "token_fraction", "A_size", "A_and_B"]
    title = "Token independence"
    if summary.height > TOP:
        title += f", the first and the last {FEW} of {summary.height}"
    return table(
        title,
        ["concept", "keyword", "concept fraction", "token fraction", "mean |A|", "mean |A∩B|"],
        both_ends(summary).select(columns).rows(),
        note="Means over layers. A: universal mask, B: token-checker mask.",
        places_of={"mean |A|": 1, "mean |A∩B|": 1},
    )


def no_keyword_shown(table_: pl.DataFrame) -> str:
    """Return a sentence that names the concepts without a keyword."""
    names = [split_concept(name)[1] for name in table_["object"]]
    if not names:
        return "Every concept has a keyword."
    return f"{len(names)} concepts have no keyword: {', '.join(names)}."


def _detail_adds_up(of: Inspected) -> Details:
    token_checker = of.input("token_checker_masks")
    universal = universal_from_table(of.input("masks"), token_checker.setting)
    ordered = of.value.sort("object", "layer")
    names = ordered["object"].unique(maintain_order=True).to_list()
    parts = ordered.select("A_only", "A_and_B", "B_only").to_numpy()
    layers = ordered["layer"].to_list()
    n_layers = len(layers) // max(1, len(names))
    if layers != list(range(n_layers)) * len(names):
        raise contradicts(
            "rows", "one per concept and layer", f"{len(layers)} for {len(names)} concepts"
        )
    cells = parts.astype(np.int64).reshape(len(names), n_layers, 3)
    return {"cells": circuits_add_up(cells, names, universal, token_checker.masks)}


def _compute_detail(making: Making) -> pl.DataFrame:
    token_checker: CheckerMasks = making.read("token_checker_masks")
    _require_setting_in_force(making, token_checker.setting)
    universal = making.universal(token_checker.setting)
    checker = with_universal(making, token_checker, universal)
    return detail(universal, checker, keyword_of(load_stimuli()))


def _require_setting_in_force(making: Making, at: Setting) -> None:
    """Refuse a file that was made here at another setting than the one that is in force."""
    if making.was_made_here("token_checker_masks") and at != making.settings.token_checker:
        raise ProvenanceError(
            "token_checker_masks was made at another setting than the one in force",
            where="token_checker_masks",
            expected=f"{making.settings.token_checker} (ATLAS_TOKEN_CHECKER_SETTING)",
            found=str(at),
            remedy="materialise token_checker_masks again, set ATLAS_TOKEN_CHECKER_SETTING back, "
            "or choose another ATLAS_NAME",
        )


def _rows_without_keyword(of: Inspected) -> Details:
    keywords = keyword_of(load_stimuli())
    concepts = of.input("masks")["concept"].unique().to_list()
    expected: list[object] = [concept for concept in concepts if concept not in keywords]
    return {"rows": rows_cover(of.value, {"object": expected})}


DETAIL = Artifact(
    key="token_independence_detail",
    title="Token independence, in detail",
    filename="token_independence_detail.csv",
    content=DETAIL_SCHEMA,
    description="Per concept that has a keyword and layer: universal mask A against "
    "token-checker mask B (paper §6).",
    compute=_compute_detail,
    inputs=("masks", "token_checker_masks"),
    at_token_checker=True,
    checks=(Check("adds_up", ADDS_UP, _detail_adds_up),),
)

SUMMARY = Artifact(
    key="token_independence_summary",
    title="Token independence",
    filename="token_independence_summary.csv",
    content=SUMMARY_SCHEMA,
    description="Per concept that has a keyword: how much of its circuit the keyword alone "
    "explains, |A∩B| / |A|, mean over layers (paper §6).",
    compute=lambda making: summary(making.read("token_independence_detail")),
    inputs=("token_independence_detail",),
    checks=(agrees_with_inputs("the means of the detail", ("object",)),),
    entries=(Entry("fractions", summary_shown, rank=2, setting_of="token_checker_masks"),),
)

NO_KEYWORD = Artifact(
    key="token_independence_no_keyword",
    title="Concepts without a keyword",
    filename="token_independence_no_keyword.csv",
    content=NO_KEYWORD_SCHEMA,
    description="The concepts that no keyword gives away (paper §6).",
    compute=lambda making: no_keyword(making.any_universal(), keyword_of(load_stimuli())),
    inputs=("masks",),
    needs=Needs.KEYWORDS,
    checks=(Check("counts", "the concepts without a keyword, once each", _rows_without_keyword),),
    entries=(Entry("fractions", sentence=no_keyword_shown),),
)
