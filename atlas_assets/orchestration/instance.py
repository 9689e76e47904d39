"""Creates the storage of Dagster's instance: ``python -m atlas_assets.orchestration.instance``.

Dagster creates it when an instance is first opened. Two processes that do so at once may leave two
versions of one database in it, after which nothing opens the instance any more.
"""

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
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
def databases_open(home: Path) -> Iterator[Callable[[str], None]]:
    """Keep connections to the SQLite databases of the instance in ``home`` that a run writes to.

    Dagster connects anew for every event. When the last connection to a database closes, SQLite
    copies its log into the database and removes it, which takes longer than the event. What is
    given opens the database of a run, by its id, once that has begun.

    Nor is the disk waited for after every event: where the power fails, the last events may be
    lost, and the databases stay sound (https://www.sqlite.org/wal.html).
    """
    with ExitStack() as connections:

        def keep_open(name: str) -> None:
            for path in (home / "history").rglob(f"{name}.db"):
                # without this connection an event only takes longer
                with suppress(sqlite3.Error):
                    opened = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)
                    connections.enter_context(closing(opened))
                    opened.execute("SELECT count(*) FROM sqlite_master").fetchall()

        event.listen(Engine, "connect", _wait_for_no_disk)
        connections.callback(event.remove, Engine, "connect", _wait_for_no_disk)
        keep_open("runs")
        keep_open("index")
        yield keep_open


def _wait_for_no_disk(connection: object, _record: object) -> None:
    """Set up a connection that Dagster has opened, where it is one of SQLite's."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = NORMAL")


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
