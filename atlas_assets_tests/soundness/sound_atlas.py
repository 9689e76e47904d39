"""A small atlas without a fault, on disk: prompts, masks of four settings, the published tables.

Of the further analyses it has none: one that declares checks is to be added to `make`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from atlas_assets.definitions import build_resources
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evidence import Recomputation
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.positions import LEVELS, PositionActivations, table_of
from atlas_assets.stages.analyses import token_independence
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.circuits.fraction_intervals import MEANS
from atlas_assets.stages.masks.masks import Masks, checker_masks, universal_from_table
from atlas_assets.stages.prompts.checker_prompts import keyword_of
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.setting import REFERENCE, STANDALONE
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.sample_atlas import write_from_activations
from atlas_assets_tests.storage import samples

NAME = "sound"
VARIATIONS = 3
LAYERS, WIDTH = 8, 20
TEXTS = {"For": "for x in y:\n    z = {}", "If": "if x:\n    y = {}", "Pass": "pass\nx = {}"}
PAIRS = (("For", "len"), ("For", "list"), ("If", "list"), ("Pass", "_isolated_"))
CONCEPTS = ("ast__For", "ast__If", "builtin__list")


def settings_in(data_dir: Path, **changes: Any) -> AtlasSettings:
    grid = {"epsilons": "0.001,0.5", "consistencies": "0.5,0.8", "variations": VARIATIONS}
    return AtlasSettings.build(**{"data_dir": str(data_dir), "name": NAME, **grid, **changes})


def make(data_dir: Path, **changes: Any) -> AtlasStore:
    settings = settings_in(data_dir, **changes)
    store: AtlasStore = build_resources(settings)["store"]
    objects = activations(tuple(f"{node}__{name}" for node, name in PAIRS), seed=0)
    checkers, tokens = activations(CONCEPTS, seed=1), activations(CONCEPTS, seed=2)
    store.write("object_prompts", object_prompts())
    store.write("checker_prompts", checker_prompts())
    store.write("token_checker_prompts", checker_prompts())
    store.write("token_checker_masks", checker_masks(tokens, settings.token_checker))
    universal = write_from_activations(store, objects, checkers)
    store.write("position_activations", position_activations())
    keywords, masks = keyword_of(load_stimuli()), universal[REFERENCE]
    detail = token_independence.detail(masks, checker_masks(tokens, REFERENCE).masks, keywords)
    store.write("token_independence_detail", detail)
    store.write("token_independence_summary", token_independence.summary(detail))
    store.write("token_independence_no_keyword", token_independence.no_keyword(masks, keywords))
    store.write("universal_masks", universal[STANDALONE])
    by_setting = {
        at: (store.read("target_checker", at), store.read("checker_masks", at).masks)
        for at in store.sweep
    }
    areas = [activations(objects.names, seed=seed) for seed in (4, 5)]
    store.write("fraction_intervals", samples.over_domains(by_setting, areas))
    keyworded = [*store.read("checker_prompts")["object"].unique(), *MEANS]
    fractions = store.read("fraction_intervals").filter(pl.col("of").is_in(keyworded))
    store.write("token_control", fractions)
    write_circuits(store, masks)
    return store


def write_circuits(store: AtlasStore, published: Masks) -> None:
    """Attributions at random, and the circuits of every definition, made from what is there."""
    scores = np.random.default_rng(3).normal(size=published.bits.size)
    columns = dict(
        zip(("concept", "layer", "neuron"), np.indices(published.bits.shape), strict=True)
    )
    columns = {name: places.ravel() for name, places in columns.items()}
    columns["concept"] = np.array(published.names, dtype=object)[columns["concept"]]
    table = pl.DataFrame({**columns, "attribution": scores, "mean_readout": 0.0 * scores})
    store.write("attribution", table)
    for definition in store.definitions:
        recomputation = Recomputation(
            sweep=store.sweep,
            definitions=store.definitions,
            partition=definition,
            read=lambda key, at=None, _part=None: store.read(key, at),
            universal=lambda setting: universal_from_table(store.read("masks"), setting),
            any_universal=lambda: published,
        )
        store.write("circuits", recomputation.compute(ARTIFACTS["circuits"]), definition)


def object_prompts() -> pl.DataFrame:
    rows = [
        (node, name, i, TEXTS[node].format(i), 1.0 + i, 5, True)
        for node, name in PAIRS
        for i in range(VARIATIONS)
    ]
    return pl.DataFrame(rows, schema=samples.object_prompts().schema, orient="row")


def position_activations() -> pl.DataFrame:
    """At the concepts of all prompts (numbers 0 and 2 discover), and at no builtin's name."""
    names = tuple(sorted(f"{node}__{name}" for node, name in PAIRS))
    n_prompts = np.repeat([[2], [1]], len(names), axis=1).astype(np.int32)
    shape = (2, len(names), LAYERS, WIDTH)
    counts = np.zeros((len(LEVELS), *shape), np.int32)
    found = PositionActivations(
        "concept", names, n_prompts, np.ones(shape, np.float32), counts, np.ones(LAYERS), 9
    )
    return table_of([found])


def checker_prompts() -> pl.DataFrame:
    keywords = keyword_of(load_stimuli())
    rows = [
        (concept, keywords[concept], i, f"name = 'the {keywords[concept]} {i}'")
        for concept in CONCEPTS
        for i in range(VARIATIONS)
    ]
    return pl.DataFrame(rows, schema=samples.checker_prompts().schema, orient="row")


def activations(names: tuple[str, ...], *, seed: int) -> Activations:
    """Over as many prompts as there are; every setting leaves some neurons in and some out."""
    rng = np.random.default_rng(seed)
    shape = (len(names), LAYERS, WIDTH)
    counts = rng.integers(0, VARIATIONS + 1, shape, dtype=np.int32)
    sums = (counts * rng.random(shape) * 3).astype(np.float32)
    n_prompts = np.full(len(names), VARIATIONS, np.int32)
    return Activations(tuple(sorted(names)), n_prompts, sums, counts)
