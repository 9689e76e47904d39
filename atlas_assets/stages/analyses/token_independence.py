"""Token independence: how much of a circuit its keyword alone explains (docs/science.md §5).

The comparison of ``decomposition``, concept by concept and layer by layer, with the token-checker
masks as B; and the concepts that no keyword gives away.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.decomposition.decomposition import counts
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.rounding import fractions, means

_AVERAGED = ("concept_fraction", "token_fraction", "A_size", "A_and_B", "A_only", "B_only")
DETAIL_SCHEMA = pl.Schema(
    {
        "A_size": pl.Int64(),
        "B_size": pl.Int64(),
        "A_only": pl.Int64(),
        "A_and_B": pl.Int64(),
        "B_only": pl.Int64(),
        "token_fraction": pl.Float64(),
        "concept_fraction": pl.Float64(),
        "object": pl.String(),
        "type": pl.String(),
        "keyword": pl.String(),
        "layer": pl.Int64(),
    }
)
SUMMARY_SCHEMA = pl.Schema(
    {
        "object": pl.String(),
        "type": pl.String(),
        "keyword": pl.String(),
        **dict.fromkeys(_AVERAGED, pl.Float64()),
    }
)


def detail(universal: Masks, checker: Masks, keywords: Mapping[str, str]) -> pl.DataFrame:
    """The published table per concept and layer.

    Args:
        universal: universal masks (A); may hold more concepts than ``checker``.
        checker: token-checker masks (B).
        keywords: the keyword of each testable concept.

    Returns:
        Columns ``DETAIL_SCHEMA``, fractions to 4 decimals; one row per concept of ``checker`` and
        layer, in that order.

    Raises:
        ArtifactError: layers or widths differ, or a checked concept has no universal mask or no
            keyword.
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
    return pl.DataFrame(columns, schema=DETAIL_SCHEMA)


def summary(detail: pl.DataFrame) -> pl.DataFrame:
    """The published table per concept: means of the detail's columns over layers, 4 decimals.

    Args:
        detail: the table that ``detail`` returns.

    Returns:
        Columns ``SUMMARY_SCHEMA``, sorted by ``concept_fraction`` descending, then ``object``.
    """
    groups = detail.sort("object", "layer").group_by("object", "type", "keyword")
    rows = [
        (*key, *means(group.select(_AVERAGED).to_numpy().astype(np.float64)).tolist())
        for key, group in groups
    ]
    table = pl.DataFrame(rows, schema=SUMMARY_SCHEMA, orient="row")
    return table.sort("concept_fraction", "object", descending=[True, False])


def no_keyword(universal: Masks, keywords: Mapping[str, str]) -> pl.DataFrame:
    """The concepts that have no keyword, so that the question does not arise for them.

    Returns:
        ``object`` and ``status`` (always ``no_keyword``), sorted by object.
    """
    objects = [name for name in universal.names if name not in keywords]
    columns = {"object": objects, "status": ["no_keyword"] * len(objects)}
    return pl.DataFrame(columns, schema={"object": pl.String, "status": pl.String})
