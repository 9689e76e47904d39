"""The nine-setting sweep with stage 14 and all tables, at the size of the paper's model."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from atlas_assets.definitions import build_resources
from atlas_assets.formats.store import AtlasStore
from atlas_assets.science.activations import Activations
from atlas_assets.science.checker_prompts import concepts_with_keyword
from atlas_assets.science.concepts import pair_name
from atlas_assets.science.masks import checker_masks
from atlas_assets.science.object_prompts import candidate_pairs
from atlas_assets.settings import AtlasSettings
from atlas_assets.stimuli.tables import load_stimuli
from benchmarks.measure import Measurement, run

N_PAIRS, N_LAYERS, WIDTH, N_PROMPTS = 1276, 8, 2048, 50


def measure() -> list[Measurement]:
    """Write synthetic activations, then run the ``sweep`` job through Dagster's command line."""
    with tempfile.TemporaryDirectory() as folder:
        env = {
            "ATLAS_DATA_DIR": folder,
            "ATLAS_NAME": "bench",
            "DAGSTER_HOME": "",
            "DAGSTER_MODULE_NAME": "atlas_assets.definitions",
        }
        _write_inputs(build_resources(AtlasSettings.from_env({**os.environ, **env}))["store"])
        command = [str(Path(sys.executable).parent / "dagster"), "job", "execute", "-j", "sweep"]
        timed = run(command, cwd=Path(folder), env=env)
    size = f"{N_PAIRS:,} × {N_LAYERS} × {WIDTH:,}"
    return [
        Measurement(f"sweep job, {size}, nine settings, all tables", timed.seconds, "s", 15),
        Measurement("peak memory of the sweep job", timed.peak_gb, "GB", None),
    ]


def _write_inputs(store: AtlasStore) -> None:
    pairs = sorted(pair_name(*pair) for pair in candidate_pairs(load_stimuli()))[:N_PAIRS]
    concepts = sorted(concepts_with_keyword(load_stimuli()))
    store.write("object_activations", synthetic(pairs, seed=0), inputs={})
    checkers = synthetic(concepts, seed=1)
    store.write("checker_activations", checkers, inputs={})
    settings = AtlasSettings.from_env({})
    store.write("token_checker_masks", checker_masks(checkers, settings.token_checker), inputs={})


def synthetic(names: list[str], *, seed: int) -> Activations:
    """Activations in which about a quarter of the neurons fire, most of them faintly."""
    rng = np.random.default_rng(seed)
    shape = (len(names), N_LAYERS, WIDTH)
    counts = rng.binomial(N_PROMPTS, rng.beta(0.3, 0.9, size=shape[1:]), size=shape)
    loudness = rng.lognormal(-2, 1.5, size=shape[1:]).astype(np.float32)
    return Activations(
        names=tuple(names),
        n_prompts=np.full(len(names), N_PROMPTS, np.int32),
        sums=(counts * loudness).astype(np.float32),
        counts=counts.astype(np.int32),
    )
