"""Small atlases written through the store: consistent, quick to make, without a model's run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from atlas_assets.atlas.open import open_with_model
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.analyses import modularity
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.masks.masks import Masks, checker_masks, object_masks, universal_table
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.storage import samples

NAME = "sample"
GRID = {"epsilons": "0.1,0.5", "consistencies": "0.8"}


def settings_in(data_dir: Path, **changes: Any) -> AtlasSettings:
    return AtlasSettings.build(**{"data_dir": str(data_dir), "name": NAME, **GRID, **changes})


def environment(data_dir: Path, **changes: str) -> dict[str, str]:
    """This process's environment with the same settings, and no other, as ATLAS_* variables."""
    fields = {"data_dir": str(data_dir), "name": NAME, **GRID, **changes}
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")}
    return {**kept, **{f"ATLAS_{field.upper()}": str(value) for field, value in fields.items()}}


def make(data_dir: Path, *, seed: int = 0, **changes: Any) -> AtlasStore:
    """Prompts, activations, masks of two settings, decomposition and modularity."""
    settings = settings_in(data_dir, **changes)
    store = open_with_model(settings)
    store.write("object_prompts", samples.object_prompts())
    store.write("checker_prompts", samples.checker_prompts())
    objects = samples.activations(seed=seed)
    checkers = samples.activations(samples.CONCEPTS, seed=seed + 1)
    write_from_activations(store, objects, checkers)
    return store


def write_from_activations(
    store: AtlasStore, objects: Activations, checkers: Activations
) -> dict[Setting, Masks]:
    """Write activations and what follows from them at the store's settings: universal masks."""
    store.write("object_activations", objects)
    store.write("checker_activations", checkers)
    universal: dict[Setting, Masks] = {}
    tables = {}
    for setting in store.sweep:
        of_objects, of_checkers = object_masks(objects, setting), checker_masks(checkers, setting)
        store.write("object_masks", of_objects, setting)
        store.write("checker_masks", of_checkers, setting)
        universal[setting] = of_objects.universal
        tables[setting] = decomposition.target_checker(of_objects.universal, of_checkers.masks)
        store.write("target_checker", tables[setting], setting)
    store.write("masks", universal_table(universal))
    store.write("summary", decomposition.summary(tables))
    store.write("modularity_scores", modularity.scores(universal[REFERENCE]))
    store.write("modularity_detail", modularity.detail(universal[REFERENCE]))
    return universal


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data dir, only to be read, with the atlases ``sample``, ``other`` and ``published``.

    The other one has other activations, the published one another readout.
    """
    data = tmp_path_factory.mktemp("data")
    make(data)
    make(data, name="other", seed=3)
    make(data, name="published", readout="published")
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A data dir to change, with the atlas ``sample``."""
    return Path(shutil.copytree(made / NAME, tmp_path / "data" / NAME)).parent
