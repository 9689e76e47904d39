"""Creates the storage of Dagster's instance: ``python -m atlas_assets.orchestration.instance``.

Dagster creates it when an instance is first opened. Two processes that do so at once may leave two
versions of one database in it, after which nothing opens the instance any more.
"""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
from sqlalchemy import Engine, event

from atlas_assets.errors import ArtifactError, AtlasError
from atlas_assets.files.locks import exclusive

#: the folder of the instance where DAGSTER_HOME names none, in the folder of the process
DEFAULT_HOME = ".dagster_home"
#: what a new home is given: no telemetry, and a log without Dagster's engine events
_CONFIGURATION = """\
telemetry:
  enabled: false
nux:
  enabled: false
python_logs:
  python_log_level: INFO
"""


def home_of_instance() -> Path:
    """Return the folder that DAGSTER_HOME names, else ``.dagster_home`` beside the data."""
    return Path(os.environ.get("DAGSTER_HOME") or DEFAULT_HOME).expanduser().absolute()


def prepare_home() -> Path:
    """Return the folder of the instance, with its configuration and its storage.

    Raises ArtifactError where the folder cannot be made, or its storage is damaged.
    """
    home = home_of_instance()
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").write_text(_CONFIGURATION, encoding="utf-8")
    except OSError as error:
        raise ArtifactError(
            "Dagster's instance has no place",
            where=str(home),
            expected="a folder that can be written to",
            found=str(error),
            remedy="name another folder in DAGSTER_HOME",
        ) from error
    create_instance(home)
    return home


def create_instance(home: Path) -> None:
    """Create the storage of the instance in ``home`` where there is none, one process at a time.

    Raises ArtifactError where two first processes have damaged the storage.
    """
    with exclusive(home / "storage", what="the storage of Dagster's instance"):
        try:
            with dg.DagsterInstance.from_config(str(home)):
                pass
        except Exception as error:
            # its class is of a library that Dagster uses
            if "more than one head" not in str(error):
                raise
            raise ArtifactError(
                "Dagster's instance cannot be opened",
                where=str(home),
                expected="databases of one version each",
                found=f"two first processes of Dagster have created them at once ({error})",
                remedy="end Dagster's processes and remove its history, `rm -r "
                f"'{home}/history' '{home}/schedules'`: the list of runs and what is switched on "
                "are lost, the files of the atlas stay; then run this command again",
            ) from error


@contextmanager
def databases_open() -> Iterator[None]:
    """Keep a connection to every SQLite database that Dagster connects to within, and wait less.

    Dagster connects anew for every event. When the last connection to a database closes, SQLite
    copies its log into the database and removes it, which takes longer than the event. Nor is the
    disk waited for after every event: where the power fails, the last events may be lost, and the
    databases stay sound (https://www.sqlite.org/wal.html).
    """
    kept: dict[str, sqlite3.Connection] = {}

    def keep(connection: object, _record: object) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        # without any of this an event only takes longer
        with suppress(sqlite3.Error):
            connection.execute("PRAGMA synchronous = NORMAL")
            [(_, _, path)] = connection.execute("PRAGMA database_list").fetchall()
            if path and path not in kept:
                kept[path] = sqlite3.connect(path, check_same_thread=False)
            if path:  # a connection is one to the log once it has read since there is a log
                kept[path].execute("SELECT count(*) FROM sqlite_master").fetchall()

    event.listen(Engine, "connect", keep)
    try:
        yield
    finally:
        event.remove(Engine, "connect", keep)
        for connection in kept.values():
            connection.close()


def main() -> int:
    """Create the storage of the instance that DAGSTER_HOME names; without it, do nothing."""
    home = os.environ.get("DAGSTER_HOME")
    if home:
        try:
            create_instance(Path(home).expanduser().absolute())
        except AtlasError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
