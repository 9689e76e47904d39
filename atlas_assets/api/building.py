"""Building an atlas from Python: the job ``atlas`` in this process."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import dagster as dg

from atlas_assets.api.opened import Atlas
from atlas_assets.atlas.open import open_in_force
from atlas_assets.definitions import build_definitions
from atlas_assets.progress import bar_of
from atlas_assets.settings import AtlasSettings

#: what Dagster prints of a run; the rest is told by bars
_QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def build(*, instance: dg.DagsterInstance | None = None, **settings: Any) -> Atlas:
    """Build an atlas, checks included, and open it: the job ``atlas``, run in this process.

    What is there and up to date in the folder is made again all the same. A pass over prompts that
    was interrupted goes on from where it was. Bars are drawn in a terminal and in a notebook.

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
    wanted = AtlasSettings.from_env().model_dump() | settings
    in_force = AtlasSettings.build(**wanted)
    job = build_definitions(in_force).resolve_job_def("atlas")
    bar = bar_of(len(job.nodes), "building the atlas", "steps")

    @dg.success_hook
    def step_is_done(_context: dg.HookContext) -> None:
        if bar is not None:
            bar.update()

    opened = dg.DagsterInstance.ephemeral() if instance is None else nullcontext(instance)
    with opened as remembering, bar or nullcontext():
        job.with_hooks({step_is_done}).execute_in_process(instance=remembering, run_config=_QUIET)
    return Atlas(open_in_force(in_force))
