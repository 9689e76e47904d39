"""Made-up results of the published sizes, as a real atlas has them, and their figures."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from atlas_assets.stages.analyses import compositionality as pairs
from atlas_assets.stages.analyses import layer_profile as profiles
from atlas_assets.stages.analyses import modularity as scores
from atlas_assets.stages.analyses.atomicity import ATOMIC_CONCEPTS
from atlas_assets.stages.circuits.yardsticks import SPECIFICITY
from atlas_assets.stages.figures import (
    concept_fraction,
    dendrogram,
    entanglement,
    heatmap,
    layer_profile,
    modularity,
    specificity,
    sweep,
)
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.setting import PUBLISHED_CONSISTENCIES, PUBLISHED_EPSILONS, REFERENCE

N_LAYERS, WIDTH = 8, 2048
#: mean circuit size per layer of pairs, AST nodes and builtins, roughly as published
SIZES = {
    "pair": (386, 499, 497, 280, 248, 206, 266, 291),
    "ast": (263, 460, 422, 139, 132, 91, 129, 175),
    "builtin": (239, 452, 402, 97, 94, 54, 89, 138),
}


@functools.cache
def names() -> tuple[str, ...]:
    """All 106 concepts, sorted."""
    return tuple(sorted(load_stimuli().concepts))


@functools.cache
def universal(n_layers: int = N_LAYERS, width: int = WIDTH) -> Masks:
    """Universal masks in five families; a circuit is its family's core and neurons of its own."""
    rng = np.random.default_rng(0)
    concepts = names()
    families = [_family(name) for name in concepts]
    bits = np.zeros((len(concepts), n_layers, width), dtype=np.bool_)
    for layer in range(n_layers):
        core = {family: rng.random(width) < 0.08 for family in sorted(set(families))}
        everyone = rng.random(width) < 0.03
        for row, family in enumerate(families):
            kept = rng.random(width) < rng.uniform(0.5, 0.9)
            own = rng.random(width) < 0.02
            bits[row, layer] = (core[family] & kept) | everyone | own
    return Masks(concepts, bits)


def _family(concept: str) -> str:
    if concept in ATOMIC_CONCEPTS or concept == "builtin___isolated_":
        return "atomic"
    kind, _, name = concept.partition("__")
    return f"{kind} {name < 'G' if kind == 'ast' else name[:1].isupper()}"


def few(*concepts: str) -> Masks:
    """The masks of some concepts only: what a cut grid gives."""
    return universal().select(concepts)


def emptied(masks: Masks, layer: int, *, keep: int = 0) -> Masks:
    """The masks with all but the first ``keep`` circuits of one layer empty."""
    bits = masks.bits.copy()
    bits[keep:, layer] = False
    return Masks(masks.names, bits)


def target_checker(n_layers: int = N_LAYERS) -> pl.DataFrame:
    """A decomposition of 24 AST nodes and 34 builtins: AST fractions rise, builtins stay low."""
    rng = np.random.default_rng(1)
    chosen = [name for name in names() if name.startswith("ast__")][:24]
    chosen += [name for name in names() if name.startswith("builtin__")][:34]
    columns: dict[str, list[str]] = {"target": chosen}
    for layer in range(n_layers):
        cells = []
        for name in chosen:
            size = int(rng.integers(20, 300))
            top = 0.05 + 0.6 * np.sin(np.pi * (layer + 1) / (n_layers + 1))
            share = rng.beta(4 * top, 4 * (1 - top)) if name.startswith("ast") else rng.beta(0.4, 6)
            only = round(share * size)
            cells.append(f"{only} / {size - only} / {int(rng.integers(0, 200))}")
        columns[f"L{layer}"] = cells
    return pl.DataFrame(columns)


def summary(
    epsilons: tuple[float, ...] = PUBLISHED_EPSILONS,
    consistencies: tuple[float, ...] = PUBLISHED_CONSISTENCIES,
) -> pl.DataFrame:
    """A sweep's summary, columns as far as the figure reads them."""
    rows = [
        {
            "epsilon": epsilon,
            "consistency": consistency,
            "n_ast": 24,
            "n_builtin": 34,
            "ast_concept_fraction": 0.25 + 0.3 * consistency * (0.4 + epsilon),
            "blt_concept_fraction": 0.04 + 0.05 * consistency * (0.4 + epsilon),
        }
        for epsilon in epsilons
        for consistency in consistencies
    ]
    return pl.DataFrame(rows)


def profile() -> pl.DataFrame:
    """A layer profile with the published means."""
    counts = {"pair": 1276, "ast": 43, "builtin": 63}
    rows = [
        (layer, kind, counts[kind], mean, mean * 0.97, int(mean * 0.6), int(mean * 1.4))
        for layer in range(N_LAYERS)
        for kind, means in SIZES.items()
        for mean in (float(means[layer]),)
    ]
    return pl.DataFrame(rows, schema=profiles.SCHEMA.polars, orient="row")


def compositionality(n_pairs: int = 1276) -> pl.DataFrame:
    """E_I of every pair at layers 3 and 4."""
    rng = np.random.default_rng(2)
    n_rows = 2 * n_pairs
    sizes = rng.integers(100, 500, n_rows)
    unexplained = np.round(rng.beta(9, 6.5, n_rows) * sizes).astype(np.int64)
    names = [f"b{i % n_pairs:04d}" for i in range(n_rows)]
    layers = [3] * n_pairs + [4] * n_pairs
    columns = [["For"] * n_rows, names, layers, sizes, unexplained, unexplained / sizes]
    return pl.DataFrame(columns, schema=pairs.SCHEMA.polars)


def rises() -> pl.DataFrame:
    """Rises of the loss of all couples of concepts, by two definitions."""
    rng = np.random.default_rng(3)
    rows = [
        (definition, ablated, of, rng.normal(0.1, 0.03) + own * (ablated == of), 1)
        for definition, own in (("contrastive", 0.5), ("matched", 0.0))
        for ablated in names()
        for of in names()
    ]
    return pl.DataFrame(rows, schema=SPECIFICITY.polars, orient="row")


CAPTION = Caption("openai/circuit-sparsity", "last_token", REFERENCE)
#: a model in a folder whose path is wider than a column, and a note
LONG_CAPTION = Caption(
    "/home/someone/models/a-very-long-folder-name/with/$HOME/in/it/checkpoint-000123",
    "published",
    REFERENCE,
    "On a cut grid of the published stimuli.",
)
FIGURES: dict[str, Callable[[], Figure]] = {
    "dendrogram": lambda: dendrogram.draw(universal(), (3, 5), CAPTION),
    "heatmap": lambda: heatmap.draw(universal(), 3, CAPTION),
    "concept_fraction": lambda: concept_fraction.draw(target_checker(), CAPTION),
    "sweep": lambda: sweep.draw(summary(), Caption(CAPTION.model, CAPTION.readout)),
    "layer_profile": lambda: layer_profile.draw(profile(), CAPTION),
    "modularity": lambda: modularity.draw(scores.scores(universal()), CAPTION, n_layers=N_LAYERS),
    "entanglement": lambda: entanglement.draw(compositionality(), 4, CAPTION),
    "specificity": lambda: specificity.draw(rises(), "contrastive", CAPTION),
}


@functools.cache
def drawn(name: str) -> Figure:
    """One of the figures, drawn once for all tests that look at it."""
    return FIGURES[name]()
