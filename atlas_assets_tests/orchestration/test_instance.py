"""First processes on a new home of Dagster's: its storage is created once, under a lock."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from atlas_assets.errors import ArtifactError, ArtifactWriteError
from atlas_assets.orchestration.instance import create_instance

#: so many processes at once; they are copies of one that has loaded Dagster, and need no start-up
RACE = """
import os, sys
from pathlib import Path
from atlas_assets.orchestration.instance import create_instance

def first_process(home: Path) -> None:
    try:
        create_instance(home)
    except BaseException as error:
        print(error, file=sys.stderr)
        os._exit(1)
    os._exit(0)

children = [os.fork() or first_process(Path(sys.argv[1])) for _ in range(int(sys.argv[2]))]
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def versions(home: Path) -> dict[str, int]:
    """The number of versions that each database of the instance says it has."""
    found = {}
    for path in home.rglob("*.db"):
        with sqlite3.connect(path) as database:
            found[path.name] = database.execute("select count(*) from alembic_version").fetchone()[
                0
            ]
    return found


def test_first_processes_at_once_leave_an_instance_that_opens(tmp_path: Path) -> None:
    home = tmp_path / "home"
    race = subprocess.run(
        [sys.executable, "-c", RACE, str(home), "4"], capture_output=True, text=True, timeout=100
    )
    assert race.returncode == 0, race.stderr
    assert versions(home) == {"runs.db": 1, "index.db": 1, "schedules.db": 1}
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_runs() == []


def test_what_two_first_processes_have_damaged_is_named_with_its_remedy(tmp_path: Path) -> None:
    create_instance(tmp_path)
    with sqlite3.connect(tmp_path / "history" / "runs.db") as database:
        database.execute("insert into alembic_version values ('5771160a95ad')")
    command = [sys.executable, "-m", "atlas_assets.orchestration.instance"]
    env = {"DAGSTER_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    told = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100)
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    assert f"rm -r '{tmp_path}/history' '{tmp_path}/schedules'" in told.stderr
    with pytest.raises(ArtifactError, match="two first processes"):
        create_instance(tmp_path)


def test_a_home_that_cannot_be_locked_is_told_by_its_own_variable(tmp_path: Path) -> None:
    (tmp_path / ".storage.lock").mkdir()
    with pytest.raises(ArtifactWriteError, match=r"set DAGSTER_HOME to a folder") as told:
        create_instance(tmp_path)
    assert "ATLAS_DATA_DIR" not in str(told.value)
