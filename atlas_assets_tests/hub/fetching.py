"""Fetching into an atlas of one's own, and the settings and the command of one that is fetched."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from upath import UPath

from atlas_assets.cli import app
from atlas_assets.hub.fetch import Outcome, choose, fetch
from atlas_assets.hub.source import open_source
from atlas_assets.hub_client.client import HubClient
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.hub import release_repo
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.release_repo import REPO

FOLDER = "piotrwilam--csp-atlas"
SUMMARY = "14_summary.csv"
MASKS = f"13_object_masks_{REFERENCE.file_tag}.h5"


@dataclass(frozen=True)
class Get:
    """``get(names…)`` fetches into ``store``; {file name: outcome}."""

    hub: LocalHub
    store: AtlasStore

    def __call__(
        self, *names: str, client: HubClient | None = None, **options: Any
    ) -> dict[str, Outcome]:
        client = client or self.hub.client()
        source = open_source(client, REPO)
        outcomes = fetch(client, source, self.store, choose(source, names), **options)
        return {outcome.file.name: outcome for outcome in outcomes}


def states(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.state for name, outcome in outcomes.items()}


def failures(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: str(outcome.error) for name, outcome in outcomes.items() if outcome.error}


def files(folder: Path | UPath) -> list[str]:
    return sorted(path.name for path in Path(str(folder)).iterdir() if path.is_file())


def settings(data_dir: Path, **changes: Any) -> AtlasSettings:
    grid = {name.removeprefix("ATLAS_").lower(): v for name, v in release_repo.GRID.items()}
    source = {"data_dir": str(data_dir), "hub_source": release_repo.REPO}
    return AtlasSettings.build(**{**source, **grid, **changes})


def variables(folder: Path, **more: str) -> dict[str, str]:
    """``ATLAS_*`` of a process with its data below ``folder``; no source is configured."""
    return {"ATLAS_DATA_DIR": str(folder / "data"), **release_repo.GRID, **more}


def environment(hub: LocalHub, folder: Path, **more: str) -> dict[str, str]:
    """The same for a subprocess, with the cache that this process has."""
    return hub.environment(folder / "hf_home", **variables(folder, **more))


def atlas(folder: Path, *arguments: str, **more: str) -> Result:
    """``atlas`` in this process, with data below ``folder`` and further variables."""
    unset = dict.fromkeys(name for name in os.environ if name.startswith("ATLAS_"))
    env = {**unset, **variables(folder, **more)}
    return CliRunner().invoke(app.atlas, arguments, env=env, prog_name="atlas")
