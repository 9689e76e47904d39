"""Dagster's own command line on the package, as the README types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from atlas_assets_tests.assets.tiny_atlas import environment

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")},
        **environment(tmp_path_factory.mktemp("data"), epsilons="0.1,0.5", consistencies="0.8"),
        "DAGSTER_HOME": str(home),
        "DAGSTER_MODULE_NAME": "atlas_assets.definitions",
    }


def run(env: dict[str, str], *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_commands_of_the_readme(env: dict[str, str], tmp_path: Path) -> None:
    folder = Path(env["ATLAS_DATA_DIR"]) / "tiny"

    atlas = run(env, "dagster", "job", "execute", "-j", "atlas", cwd=tmp_path)
    assert atlas.returncode == 0, atlas.stderr[-3000:]
    assert pl.read_csv(folder / "14_summary.csv")["epsilon"].to_list() == [0.1, 0.5]

    one = folder / "13_object_masks_eps0.5_cons0.8.h5"
    other = folder / "13_object_masks_eps0.1_cons0.8.h5"
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (one, other)}
    partition = run(
        env,
        *("dagster", "asset", "materialize", "--select", "object_masks"),
        *("--partition", "0.8|0.5"),
        cwd=tmp_path,
    )
    assert partition.returncode == 0, partition.stderr[-3000:]
    assert one.stat().st_mtime_ns > before[one][0]
    assert one.read_bytes() == before[one][1]
    assert other.stat().st_mtime_ns == before[other][0]

    other.unlink()
    masks = run(env, "dagster", "asset", "materialize", "--select", "masks", cwd=tmp_path)
    assert masks.returncode == 0, masks.stderr[-3000:]
    assert other.read_bytes() == before[other][1]

    where = run(env, "atlas", "where", cwd=tmp_path)
    assert where.returncode == 0
    assert str(folder) in where.stdout
    assert other.name in where.stdout
    assert "make ui" in where.stdout


def test_a_setting_out_of_range_ends_the_command_with_its_name(
    env: dict[str, str], tmp_path: Path
) -> None:
    wrong = {**env, "ATLAS_CONSISTENCIES": "1.5"}
    result = run(wrong, "dagster", "asset", "materialize", "--select", "summary", cwd=tmp_path)
    assert result.returncode != 0
    assert "ATLAS_CONSISTENCIES" in result.stdout + result.stderr
    result = run(wrong, "atlas", "where", cwd=tmp_path)
    assert result.returncode != 0
    assert "ATLAS_CONSISTENCIES" in result.stderr
    assert "Traceback" not in result.stderr
