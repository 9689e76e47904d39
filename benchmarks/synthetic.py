"""Activations of the paper's size, made up: what is timed does not depend on their meaning."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from atlas_assets.atlas.open import open_to_build
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.concepts import pair_name
from atlas_assets.stages.masks.masks import checker_masks
from atlas_assets.stages.prompts.checker_prompts import keyword_of
from atlas_assets.stages.prompts.object_prompts import candidate_pairs
from atlas_assets.stages.prompts.stimuli import load_stimuli

ROOT = Path(__file__).resolve().parents[1]
N_PAIRS, N_LAYERS, WIDTH, N_PROMPTS = 1276, 8, 2048, 50
SIZE = f"{N_PAIRS:,} × {N_LAYERS} × {WIDTH:,}"
NAME = "bench"


def pair_names() -> list[str]:
    """As many pairs of the published grid as the paper kept."""
    return sorted(pair_name(*pair) for pair in candidate_pairs(load_stimuli()))[:N_PAIRS]


def activations(names: list[str], *, seed: int, width: int = WIDTH) -> Activations:
    """Activations in which about a quarter of the neurons fire, most of them faintly."""
    rng = np.random.default_rng(seed)
    shape = (len(names), N_LAYERS, width)
    counts = rng.binomial(N_PROMPTS, rng.beta(0.3, 0.9, size=shape[1:]), size=shape)
    loudness = rng.lognormal(-2, 1.5, size=shape[1:]).astype(np.float32)
    return Activations(
        names=tuple(names),
        n_prompts=np.full(len(names), N_PROMPTS, np.int32),
        sums=(counts * loudness).astype(np.float32),
        counts=counts.astype(np.int32),
    )


def environment(folder: Path, *, dagster_home: Path | None = None) -> dict[str, str]:
    """Variables of an atlas in ``folder``; a home for Dagster, set up as the package's is."""
    if dagster_home is not None:
        dagster_home.mkdir(parents=True)
        shutil.copy(ROOT / ".dagster_home" / "dagster.yaml", dagster_home)
    return {
        "ATLAS_DATA_DIR": str(folder),
        "ATLAS_NAME": NAME,
        "DAGSTER_HOME": str(dagster_home or ""),
        "DAGSTER_MODULE_NAME": "atlas_assets.definitions",
    }


def write_inputs(folder: Path) -> tuple[Activations, Activations]:
    """Puts what the job ``sweep`` starts from into an atlas; gives it as well."""
    settings = AtlasSettings.from_env(environment(folder))
    store, _ = open_to_build(settings)
    objects = activations(pair_names(), seed=0)
    checkers = activations(sorted(keyword_of(load_stimuli())), seed=1)
    store.write("object_activations", objects, inputs={})
    store.write("checker_activations", checkers, inputs={})
    masks = checker_masks(checkers, settings.token_checker)
    store.write("token_checker_masks", masks, inputs={})
    return objects, checkers
