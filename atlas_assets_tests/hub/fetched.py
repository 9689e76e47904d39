"""Settings, environment and calls of an atlas that is fetched from a `LocalHub`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner

from atlas_assets.cli import app
from atlas_assets.settings import AtlasSettings
from atlas_assets_tests.hub import release_repo
from atlas_assets_tests.hub.local_hub import LocalHub

FOLDER = "piotrwilam--csp-atlas"


class Called(NamedTuple):
    """What a call of the command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be JSON from the first to the last byte."""
        return json.loads(self.out)


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


def atlas(folder: Path, *arguments: str, **more: str) -> Called:
    """``atlas`` in this process, with data below ``folder`` and further variables."""
    unset = dict.fromkeys(name for name in os.environ if name.startswith("ATLAS_"))
    env = {**unset, **variables(folder, **more)}
    result = CliRunner().invoke(app.atlas, arguments, env=env, prog_name="atlas")
    return Called(result.exit_code, result.stdout, result.stderr)
