"""A tiny atlas that Dagster built, with everything in it, and the instance that remembers it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from atlas_assets.definitions import build_definitions
from atlas_assets.hub_client.client import HubClient
from atlas_assets.orchestration.automation.publishing import OP, hub_sync_sensor, publish_job
from atlas_assets.settings import AtlasSettings
from atlas_assets_tests.orchestration import tiny_atlas

REPO = "someone/tiny"
#: the settings that the further analyses speak of
SWEEP = {"epsilons": "0.001,0.5", "consistencies": "0.8"}


@dataclass
class Built:
    """An atlas of one's own, built.

    Attributes:
        data_dir: where it lies.
        home: of the instance.
        instance: remembers how it was built.
    """

    data_dir: Path
    home: Path
    instance: dg.DagsterInstance

    def settings(self, **changes: Any) -> AtlasSettings:
        fields = {**SWEEP, "hub_target": REPO, **changes}
        return tiny_atlas.tiny_settings(self.data_dir, **fields)

    def tick(self, client: HubClient, cursor: str | None, **changes: Any) -> Any:
        """What the daemon makes of the sensor: run requests, why there are none, and a cursor.

        It looks at the first run that succeeded after the cursor, as one tick does.
        """
        sensor = hub_sync_sensor(self.settings(**changes), publish_job(), client)
        with dg.build_sensor_context(instance=self.instance, cursor=cursor) as context:
            return sensor.evaluate_tick(context)

    def run(
        self, client: HubClient, request: Any = None, **config: Any
    ) -> dg.ExecuteInProcessResult:
        """The job ``publish``, as the sensor requested it or with this config."""
        run_config = request.run_config if request else {"ops": {OP: {"config": config}}}
        return publish_job(retry_delay=0.01).execute_in_process(
            instance=self.instance,
            run_config=run_config,
            tags=dict(request.tags) if request else None,
            resources={"settings": self.settings(), "hub": client},
            raise_on_error=False,
        )

    def materialize(self, *assets: str) -> str:
        """Makes assets again, and runs their checks; returns the id of the run."""
        job = build_definitions(self.settings()).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=self.instance, asset_selection=[dg.AssetKey(asset) for asset in assets]
        )
        assert result.success, tiny_atlas.failure_text(result)
        return result.run_id


def build(folder: Path) -> None:
    """The atlas and its memory, built by the job ``atlas`` in ``folder``."""
    (folder / "home").mkdir(parents=True)
    with opened(folder) as built:
        result = tiny_atlas.run_job(built.settings(), built.instance)
        assert result.success, tiny_atlas.failure_text(result)


def first_cursor() -> str:
    """The cursor of a sensor that was on before the first run."""
    with dg.DagsterInstance.ephemeral() as empty:
        built = Built(Path(), Path(), empty)
        cursor = built.tick(HubClient(), None).cursor
    assert isinstance(cursor, str)
    return cursor


@contextmanager
def opened(folder: Path) -> Iterator[Built]:
    """The atlas in ``folder``; no longer than needed, for Dagster looks into an open instance."""
    with dg.DagsterInstance.local_temp(str(folder / "home")) as instance:
        yield Built(folder / "data", folder / "home", instance)


@contextmanager
def copy_of(original: Path, folder: Path) -> Iterator[Built]:
    """The same atlas and memory, to be changed."""
    shutil.copytree(original, folder)
    with opened(folder) as built:
        yield built
