"""A sample atlas, and a way to call the command on it in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from atlas_assets.cli.app import atlas
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.hub.conftest import hub, release, sha
from atlas_assets_tests.sample_atlas import data, made

__all__ = ["data", "hub", "made", "release", "sha"]


@dataclass(frozen=True)
class Called:
    """What a call printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


Call = Callable[..., Called]


@pytest.fixture
def call() -> Call:
    """``call(data_dir, *arguments, columns=None, **settings)``."""

    def call(
        data_dir: Path, *arguments: str, columns: int | None = None, **settings: str
    ) -> Called:
        env: dict[str, str | None] = {key: None for key in os.environ if key.startswith("ATLAS_")}
        env |= {**sample_atlas.environment(data_dir, **settings), "COLUMNS": None}
        if columns is not None:
            env["COLUMNS"] = str(columns)
        result = CliRunner().invoke(atlas, arguments, env=env, prog_name="atlas")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Called(result.exit_code, result.stdout, result.stderr)

    return call
