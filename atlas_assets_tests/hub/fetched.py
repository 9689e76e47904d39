"""Settings, environment and calls of an atlas that is fetched from a `LocalHub`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from atlas_assets.settings import AtlasSettings
from atlas_assets_tests.hub import release_repo
from atlas_assets_tests.hub.local_hub import LocalHub

FOLDER = "piotrwilam--csp-atlas"


def settings(data_dir: Path, **changes: Any) -> AtlasSettings:
    grid = {name.removeprefix("ATLAS_").lower(): v for name, v in release_repo.GRID.items()}
    source = {"data_dir": str(data_dir), "hub_source": release_repo.REPO}
    return AtlasSettings.build(**{**source, **grid, **changes})


def environment(hub: LocalHub, folder: Path, *, xet: bool = False, **more: str) -> dict[str, str]:
    """Of a process with its data and its cache below ``folder``; no source is configured."""
    data = {"ATLAS_DATA_DIR": str(folder / "data"), **release_repo.GRID}
    return hub.environment(folder / "hf_home", xet=xet, **{**data, **more})


def atlas(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "atlas_assets.cli", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Standard output as JSON, which it must be from the first to the last byte."""
    found: dict[str, Any] = json.loads(done.stdout)
    return found
