"""What the settings in force say every file of the atlas must be about."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.errors import ModelError
from atlas_assets.hub_client.repository import is_full_sha
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.storage.provenance import Grid, Lineage

_log = logging.getLogger(__name__)


def expected_lineage(settings: AtlasSettings, model: AtlasModel) -> Callable[[], Lineage]:
    """A function that gives the lineage in force, resolving the model when first called.

    Where the model cannot be had (offline, not downloaded), files are compared by the settings
    alone and the log says so: masks fetched from elsewhere need no model.
    """

    @cache
    def lineage() -> Lineage:
        identity, threshold = _identify(settings, model)
        stimuli = load_stimuli()
        return Lineage(
            model=identity,
            readout=settings.readout,
            dtype=settings.dtype,
            grid=Grid(
                ast_nodes=settings.ast_nodes,
                builtins=settings.builtins,
                variations=settings.variations,
                loss_threshold=threshold,
            ),
            seeds={
                "object_prompts": stimuli.object_prompts.seed,
                "checker_prompts": stimuli.checker_prompts.seed,
            },
        )

    return lineage


def _identify(settings: AtlasSettings, model: AtlasModel) -> tuple[ModelIdentity, float | None]:
    try:
        return model.identity, model.loss_threshold
    except ModelError as error:
        _log.warning("the model cannot be read, so its digests are not compared: %s", error.what)
        return _named(settings), settings.loss_threshold


def _named(settings: AtlasSettings) -> ModelIdentity:
    """What the settings alone say of the model: a branch or tag is no commit, and not compared."""
    name, revision = settings.model, settings.model_revision
    is_path = name.startswith(("/", ".", "~"))
    return ModelIdentity(
        model_id=Path(name).name if is_path else name,
        revision=revision if is_full_sha(revision) else None,
    )
