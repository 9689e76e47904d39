"""A tiny model on a Hub of our own, and an atlas that follows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from upath import UPath

from atlas_assets.models.identity import ModelIdentity
from atlas_assets.settings import AtlasSettings
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.models import tiny
from atlas_assets_tests.storage import samples

MODEL = "someone/tiny-circuits"
NAME = "followed"
OPTIONS = {**tiny.OPTIONS, "block_size": 400}
#: nine settings, and none of those that figures and further analyses speak of: a run is short
SETTINGS = {
    "name": NAME,
    "model": MODEL,
    "device": "cpu",
    "ast_nodes": "For,Pass",
    "builtins": "list,_isolated_",
    "variations": "2",
    "loss_threshold": "1000",
    "epsilons": "0.01,0.1,0.2",
    "consistencies": "0.2,0.5,0.7",
    "token_checker_setting": "0.1,0.5",
}


def publish(hub: LocalHub, folder: Path, seed: int) -> str:
    """Puts a model with weights of its own at the Hub's head; returns the new sha."""
    weights = tiny.tensors(tiny.network(seed, block_size=OPTIONS["block_size"]))
    return hub.push_folder(MODEL, tiny.write(folder, OPTIONS, weights), "model")


def environment(data_dir: Path, **changes: str) -> dict[str, str]:
    """The settings as ATLAS_* variables."""
    fields = {"data_dir": str(data_dir), **SETTINGS, **changes}
    return {f"ATLAS_{field.upper()}": value for field, value in fields.items()}


def settings_in(data: Path, **changes: Any) -> AtlasSettings:
    return AtlasSettings.build(**{"data_dir": str(data), **SETTINGS, **changes})


def made(settings: AtlasSettings, folder: str, sha: str) -> None:
    """The first file of an atlas of this state of the model."""
    made_with = Lineage(model=ModelIdentity(model_id=MODEL, revision=sha))
    root = UPath(settings.data_dir).absolute() / folder
    AtlasStore(root, lambda: made_with).write("object_prompts", samples.object_prompts())
