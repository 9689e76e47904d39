"""What each figure shows, in words, for those who cannot see it: the alternative text of images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from atlas_assets.stages.analyses import atomicity
from atlas_assets.stages.analyses.modularity import TRIMS
from atlas_assets.stages.concepts import split_concept
from atlas_assets.stages.decomposition.decomposition import parse_target_checker
from atlas_assets.stages.figures import style
from atlas_assets.stages.figures.entanglement import THRESHOLD
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.rounding import fractions
from atlas_assets.stages.setting import Setting

_NAMES = {"pair": "Pairs", "ast": "AST nodes", "builtin": "Builtins"}


def dendrogram(universal: Masks, layers: Sequence[int]) -> str:
    """Clusters of each layer, and where the atomic concepts fall."""
    return _sentences(
        "Dendrograms of universal circuits.", *(_clusters(universal, layer) for layer in layers)
    )


def heatmap(universal: Masks, layers: Sequence[int]) -> str:
    """Mean similarity of each layer, and its two most similar circuits."""
    return _sentences(
        "Matrices of Jaccard similarity between universal circuits.",
        *(_similarity(universal, layer) for layer in layers),
    )


def concept_fraction(table: pl.DataFrame) -> str:
    """Mean concept fraction of each type, layer by layer (``target_checker`` of one setting)."""
    cells = parse_target_checker(table)
    shares = fractions(cells[..., 0], cells[..., 0] + cells[..., 1])
    kinds = np.array([split_concept(name)[0] for name in table["target"].to_list()], dtype=np.str_)
    lines = [
        f"{_NAMES[kind]}: {_listed(f'{mean:.1%}' for mean in shares[kinds == kind].mean(axis=0))}"
        for kind in ("ast", "builtin")
        if (kinds == kind).any()
    ]
    return _sentences("Line plot of mean concept fraction by layer, from layer 0.", *lines)


def sweep(summary: pl.DataFrame) -> str:
    """Mean concept fraction of each type at each setting (``summary``)."""
    lines = []
    for row in summary.iter_rows(named=True):
        shares = (row["ast_concept_fraction"], row["blt_concept_fraction"])
        ast, builtin = ("none" if share is None else f"{share:.1%}" for share in shares)
        setting = Setting(row["epsilon"], row["consistency"])
        lines.append(f"{setting}: AST nodes {ast}, builtins {builtin}")
    return _sentences("Bars of mean concept fraction, one panel per setting.", *lines)


def layer_profile(profile: pl.DataFrame) -> str:
    """Mean size of each type, layer by layer."""
    lines = []
    for kind, name in _NAMES.items():
        means = profile.filter(type=kind).sort("layer")["mean_size"].to_list()
        if means:
            lines.append(f"{name}: {_listed(f'{mean:.1f}' for mean in means)}")
    return _sentences("Line plot of mean circuit size in neurons, from layer 0.", *lines)


def modularity(scores: pl.DataFrame, *, top: int = 5) -> str:
    """The first concepts of the ranking with their scores (``modularity_scores``)."""
    lines = [
        f"{style.bare(row['index'])}: {_listed(str(row[f'p={trim}']) for trim in TRIMS)}"
        for row in scores.head(top).iter_rows(named=True)
    ]
    opening = (
        "Bars of the number of layers in which a concept stands apart, for "
        f"p = {_listed(str(trim) for trim in TRIMS)}."
    )
    return _sentences(opening, *lines)


def entanglement(table: pl.DataFrame, layer: int) -> str:
    """Mean, median and lower tail of the entanglement index (``compositionality``)."""
    values = table.filter(layer=layer)["entanglement_index"].to_numpy()
    if not len(values):
        return f"No pair at layer {layer}."
    below = float(np.mean(values < THRESHOLD))
    return _sentences(
        f"Histogram of the entanglement index of {len(values):,} pairs at layer {layer}.",
        f"Mean {values.mean():.4f}, median {float(np.median(values)):.4f}, "
        f"{below:.2%} below {THRESHOLD}",
    )


def _clusters(universal: Masks, layer: int) -> str:
    groups = atomicity.clusters(universal, layer)
    sizes = [list(groups.values()).count(number) for number in sorted({*groups.values()})]
    if not sizes:
        return f"Layer {layer}: every circuit is empty"
    sentence = f"Layer {layer}: {len(groups)} circuits in clusters of {_listed(map(str, sizes))}"
    atomic = [groups[name] for name in atomicity.ATOMIC_CONCEPTS if name in groups]
    if atomic:
        placed = _listed(str(number) for number in sorted({*atomic}))
        plural = "s" if len({*atomic}) > 1 else ""
        sentence += f"; {len(atomic)} atomic concepts in cluster{plural} {placed}"
    return sentence


def _similarity(universal: Masks, layer: int) -> str:
    names, distances = atomicity.distance(universal, layer)
    if len(names) < 2:
        return f"Layer {layer}: fewer than two circuits are not empty"
    first, second = np.triu_indices(len(names), k=1)
    values = 1 - distances[first, second]
    top = int(values.argmax())
    pair = f"{style.bare(names[first[top]])} and {style.bare(names[second[top]])}"
    return (
        f"Layer {layer}: {len(names)} circuits, mean similarity {values.mean():.3f}, "
        f"largest {values[top]:.3f} between {pair}"
    )


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)


def _sentences(opening: str, *lines: str) -> str:
    return " ".join([opening, *(f"{line}." for line in lines)])
