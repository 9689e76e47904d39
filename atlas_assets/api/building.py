"""Building an atlas from Python: the job ``atlas`` in this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from atlas_assets.api.opened import Atlas
from atlas_assets.atlas.buildable import require_buildable
from atlas_assets.atlas.open import open_in_force
from atlas_assets.atlas.series import checkpoints, require_one_model
from atlas_assets.definitions import build_definitions
from atlas_assets.errors import SettingsError, expect, naming
from atlas_assets.orchestration.databases import databases_open, refusals_told
from atlas_assets.orchestration.instance import prepare_home
from atlas_assets.orchestration.telling import Listener, Told, run_and_tell
from atlas_assets.progress import bar_of, standard_error_kept
from atlas_assets.settings import AtlasSettings, env_name

if TYPE_CHECKING:
    from tqdm import tqdm


def build(*, instance: dg.DagsterInstance | None = None, **settings: Any) -> Atlas:
    """Build an atlas, checks included, and open it: the job ``atlas``, run in this process.

    What is there and up to date in the folder is made again all the same. A pass over prompts that
    was interrupted goes on from where it was. Bars are drawn in a terminal and in a notebook.

    Of several checkpoints of one training run, `build_series` makes an atlas each.

    Args:
        instance: the Dagster instance that remembers the run, as ``DagsterInstance.get()``;
            default: one that ends with the call.
        **settings: fields of `atlas_assets.settings.AtlasSettings`, as ``model="owner/name"``,
            ``ast_nodes=["For", "If"]``, ``variations=10``, ``data_dir="data"``. Those that are not
            given are as the ``ATLAS_*`` variables say, else at their defaults.

    Raises:
        SettingsError: a setting is unknown or out of range.
        AtlasError: the model cannot be read, a file of another atlas is in the way, and so on.
        DagsterError: a check that blocks has failed.
    """
    with _naming(settings):
        in_force = _in_force(settings)
        require_one_model(in_force)
        _run(in_force, instance)
        return Atlas(open_in_force(in_force))


def build_series(
    *, instance: dg.DagsterInstance | None = None, **settings: Any
) -> dict[str, Atlas]:
    """Build an atlas of each of several checkpoints of one training run, and open them.

    An atlas that is complete and fresh is left as it is. A table and a figure of the circuits over
    training are written beside them.

    Args:
        instance, **settings: as for `build`, like other errors; ``model`` is a folder of
            checkpoints' folders, or ``model_revision`` names several revisions of a Hub model,
            with commas between them.

    Raises:
        ModelError: checkpoints have no atlas, each with its cause; those of all others are built.

    Returns:
        name of the checkpoint's folder, or its revision → its atlas, in the order of training.
    """
    with _naming(settings):
        in_force = _in_force(settings)
        series = checkpoints(in_force)
    expect(
        bool(series),
        SettingsError,
        "the settings name no series of checkpoints",
        where="model",
        expected="a folder of two checkpoints' folders or more, or several revisions",
        found=f"{in_force.model!r}, revision {in_force.model_revision!r}",
        remedy="correct them, or use build",
    )
    with _naming(settings):
        _run(in_force, instance)
    return {one.label: Atlas(open_in_force(one.settings)) for one in series}


def _naming(given: dict[str, Any]) -> AbstractContextManager[None]:
    """Within, errors name the arguments that were given, and variables only of other settings."""
    return naming({env_name(name): name for name in given}, "argument")


def _in_force(given: dict[str, Any]) -> AtlasSettings:
    for name in sorted(given.keys() - AtlasSettings.model_fields.keys()):
        near = get_close_matches(name, AtlasSettings.model_fields, n=1)
        raise SettingsError(
            "there is no such setting",
            where=name,
            expected="a field of atlas_assets.settings.AtlasSettings",
            found=repr(name),
            remedy=f"did you mean {near[0]}?" if near else "correct the name, or leave it out",
        )
    return AtlasSettings.build(**(AtlasSettings.from_env().model_dump() | given))


def dagster_home() -> Path:
    """Return the folder of Dagster's instance, which is made where there is none."""
    return prepare_home()


def build_and_tell(settings: AtlasSettings, listener: Callable[[int], Listener]) -> Told:
    """Run the job ``atlas`` in this process on the instance of DAGSTER_HOME, and tell of it.

    Where a step fails, what does not depend on it is still made.

    Args:
        settings: the settings in force, of which `require_buildable` refuses nothing.
        listener: is given the number of assets that are to be made, and gives who is told.
    """
    home = dagster_home()
    with (
        refusals_told(home),
        databases_open(),
        dg.DagsterInstance.from_config(str(home)) as instance,
        standard_error_kept(),
    ):
        job, assets = _job(settings)
        return run_and_tell(job, instance, assets, listener(len(assets)))


def _run(settings: AtlasSettings, instance: dg.DagsterInstance | None) -> None:
    require_buildable(settings)
    job, assets = _job(settings)
    opened = dg.DagsterInstance.ephemeral() if instance is None else nullcontext(instance)
    with (
        opened as remembering,
        standard_error_kept(),
        bar_of(len(assets), "building the atlas", "assets") or nullcontext() as bar,
    ):
        run_and_tell(job, remembering, assets, _Bar(bar), raise_on_error=True)


def _job(settings: AtlasSettings) -> tuple[dg.JobDefinition, frozenset[str]]:
    """The job ``atlas``, and the names of the assets that it makes."""
    definitions = build_definitions(settings)
    job = definitions.resolve_job_def("atlas")
    assets = [asset for asset in definitions.assets or () if isinstance(asset, dg.AssetsDefinition)]
    keys = {key.to_user_string() for asset in assets for key in asset.keys}
    return job, frozenset(keys & {node.name for node in job.nodes})


@dataclass(frozen=True)
class _Bar:
    """Who is told of a run where a bar is all that is drawn."""

    bar: tqdm[None] | None

    def done(self, asset: str, seconds: float | None) -> None:  # noqa: ARG002
        if self.bar is not None:
            self.bar.update()

    def warned(self, step: str, sentence: str) -> None:
        """Leave it to the log."""
