"""The databases of Dagster's instance: cheaper to write to in a run, and in words what they refuse.

Dagster makes an engine of SQLAlchemy and a connection anew for every event, and with them every
statement is compiled anew.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from atlas_assets.errors import ArtifactError

#: how long to wait for another process that writes, as Dagster does
_BUSY_SECONDS = 30
#: databases that are kept open, those used last: each run has one of its own, and a build of many
#: checkpoints has hundreds of runs
_MOST = 8

_Connect = Callable[..., AbstractContextManager[Connection]]


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


@contextmanager
def engines_kept(instance: dg.DagsterInstance) -> Iterator[None]:
    """Let an instance use one engine for each of its SQLite databases within, in place of many.

    The first connection to a database is Dagster's own, which makes its tables where there are
    none. Other databases, and those in memory, are left as they are.
    """
    events: Any = instance.event_log_storage
    runs: Any = instance.run_storage
    with ExitStack() as stack:
        # as Dagster, which lets one thread at a time write events
        with_lock: AbstractContextManager[Any] = threading.Lock()
        for storage, name, lock in (
            (events, "run_connection", with_lock),
            (events, "index_connection", with_lock),
            (runs, "connect", nullcontext()),
        ):
            connect = getattr(storage, name, None)
            if connect is not None:
                setattr(storage, name, stack.enter_context(_kept(connect, lock)))
                stack.callback(delattr, storage, name)
        if hasattr(events, "has_table"):  # asked for every check
            events.has_table = _remembered(events.has_table)
            stack.callback(delattr, events, "has_table")
        yield


def _remembered(has_table: Callable[[str], bool]) -> Callable[[str], bool]:
    """Whether there is a table, asked until there is: Dagster removes none."""
    there: set[str] = set()

    def known(name: str) -> bool:
        if name not in there and has_table(name):
            there.add(name)
        return name in there

    return known


@contextmanager
def _kept(connect: _Connect, lock: AbstractContextManager[Any]) -> Iterator[_Connect]:
    """What connects as ``connect`` does, with an engine for each of its databases."""
    engines: dict[object, Engine] = {}
    changing = threading.Lock()

    def keep(asked: object, engine: Engine) -> None:
        """As the one used last; in the place of one that another thread has made meanwhile."""
        with changing:
            before = engines.pop(asked, engine)
            engines[asked] = engine
            oldest = engines.pop(next(iter(engines))) if len(engines) > _MOST else None
        for each in (before if before is not engine else None, oldest):
            if each is not None:
                each.dispose()

    @contextmanager
    def connected(*args: Any, **named: Any) -> Iterator[Connection]:
        asked = args, tuple(named.items())
        engine = engines.get(asked)
        if engine is None:
            with connect(*args, **named) as first:
                url = first.engine.url
                if url.get_backend_name() == "sqlite" and Path(url.database or "").is_file():
                    keep(asked, create_engine(url, connect_args={"timeout": _BUSY_SECONDS}))
                yield first
            return
        keep(asked, engine)
        with lock, engine.begin() as connection:
            yield connection

    try:
        yield connected
    finally:
        for engine in engines.values():
            engine.dispose()
