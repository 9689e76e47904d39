"""The databases of Dagster's instance: cheaper to write to in a run, in words what they refuse."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from atlas_assets.errors import ArtifactError

#: databases that are kept open, those used last: each run has one of its own, and a build of many
#: checkpoints has hundreds of runs
_MOST = 8


@contextmanager
def refusals_told(home: Path) -> Iterator[None]:
    """Turn what a database of the instance in ``home`` refuses, as on a full disk, into our error.

    Raises ArtifactError.
    """
    try:
        yield
    except DBAPIError as error:
        raise unusable(home, str(error.orig)) from error


def unusable(home: Path, found: str) -> ArtifactError:
    """Return the error of an instance of which a database does not do what it is asked."""
    return ArtifactError(
        "a database of Dagster's instance cannot be used",
        where=str(home),
        expected="databases that can be written to, and space for them",
        found=found,
        remedy="look at the disk and the permissions of the folder (and at its dagster.yaml), or "
        "name another one in DAGSTER_HOME; a pass that was begun goes on from where it was",
    )


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
            if path:
                known = path in kept
                kept[path] = (
                    kept.pop(path) if known else sqlite3.connect(path, check_same_thread=False)
                )
                # a connection is one to the log once it has read since there is a log
                kept[path].execute("SELECT count(*) FROM sqlite_master").fetchall()
            if len(kept) > _MOST:
                kept.pop(next(iter(kept))).close()

    event.listen(Engine, "connect", keep)
    try:
        yield
    finally:
        event.remove(Engine, "connect", keep)
        for connection in kept.values():
            connection.close()
