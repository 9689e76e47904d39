"""Dagster's databases while a run is in progress: what is kept open, and that no event is lost."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import NullPool, create_engine

from atlas_assets.errors import ArtifactError
from atlas_assets.orchestration import databases
from atlas_assets.orchestration.databases import databases_open, refusals_told
from atlas_assets.orchestration.instance import create_instance, prepare_home
from atlas_assets.orchestration.telling import run_and_tell


def test_a_database_that_is_connected_to_keeps_its_log_until_a_build_ends(tmp_path: Path) -> None:
    create_instance(tmp_path)
    runs = tmp_path / "history" / "runs.db"
    log = runs.with_name("runs.db-wal")
    engine = create_engine(f"sqlite:///{runs}", poolclass=NullPool)

    def write(table: str) -> int:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"create table {table} (number)")
            return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    full, normal = 2, 1  # whether a commit waits for the disk
    assert write("before") == full
    assert not log.exists()
    with databases_open():
        assert write("meanwhile") == normal
        assert log.exists()
    assert not log.exists()
    assert write("after") == full
    with closing(sqlite3.connect(runs)) as database:
        tables = {name for (name,) in database.execute("select name from sqlite_master")}
    assert {"before", "meanwhile", "after"} <= tables


def test_the_database_of_a_new_run_is_kept_open_from_its_second_connection(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with databases_open():
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        for table in ("a", "b"):
            with engine.begin() as connection:
                connection.exec_driver_sql(f"create table {table} (number)")
            assert path.with_name("run.db-wal").exists()
    assert not path.with_name("run.db-wal").exists()


@dg.asset
def number() -> int:
    return 1


def test_databases_of_earlier_runs_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_MOST", 3)
    create_instance(tmp_path)
    files = []
    with (
        databases_open(),
        dg.DagsterInstance.from_config(str(tmp_path)) as instance,
    ):
        for _ in range(6):
            assert dg.materialize([number], instance=instance).success
            files.append({file.name for file in tmp_path.rglob("*.db-wal")})
        assert instance.get_runs_count() == 6
    # a database that is open has a log beside it
    assert len(files[-1]) == len(files[2]) < 6
    assert not list(tmp_path.rglob("*.db-wal"))


def test_a_database_that_refuses_is_told_in_words(tmp_path: Path) -> None:
    limited = (
        "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (40960, 40960)); "
        "runpy.run_module('atlas_assets.orchestration.instance', run_name='__main__')"
    )
    env = {"DAGSTER_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", limited]
    told = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100)
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    assert "a database of Dagster's instance cannot be used" in told.stderr
    assert f"where: {tmp_path}" in told.stderr


@dataclass
class Quiet:
    heard: list[str] = field(default_factory=list)

    def done(self, asset: str, seconds: float | None) -> None:  # noqa: ARG002
        self.heard.append(asset)

    def warned(self, step: str, sentence: str) -> None:
        """Say nothing."""


def test_a_run_that_loses_its_databases_has_not_made_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    prepare_home()

    @dg.asset
    def removes() -> None:
        shutil.rmtree(home)

    @dg.asset(deps=[removes])
    def after() -> None:
        raise AssertionError

    job = dg.Definitions(assets=[removes, after]).resolve_implicit_global_asset_job_def()
    heard = Quiet()
    with (
        pytest.raises(
            ArtifactError, match="a database of Dagster's instance cannot be used"
        ) as told,
        refusals_told(home),
        databases_open(),
        dg.DagsterInstance.from_config(str(home)) as instance,
    ):
        run_and_tell(job, instance, ["removes", "after"], heard)
    assert "after" not in heard.heard
    assert f"where: {home}" in str(told.value)


def test_a_run_that_ends_before_its_first_step_has_failed() -> None:
    @dg.resource
    def broken(_: dg.InitResourceContext) -> None:
        raise RuntimeError("there is no such thing")

    @dg.asset(required_resource_keys={"broken"})
    def needs_it() -> None:
        raise AssertionError

    found = dg.Definitions(assets=[needs_it], resources={"broken": broken})
    job = found.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        told = run_and_tell(job, instance, ["needs_it"], Quiet())
    assert told.failures == {"run": "there is no such thing"}
