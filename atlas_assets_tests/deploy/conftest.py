"""Debian's PostgreSQL on 127.0.0.1, in a temporary folder, under a user that is not root."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "only-for-this-test"
NEEDED = ("initdb", "pg_isready", "postgres")


@contextmanager
def process(command: list[str], log: Path, **how: object) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("ab") as out,
        subprocess.Popen(command, stdout=out, stderr=out, **how) as started,  # type: ignore[call-overload]
    ):
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(60)
            except subprocess.TimeoutExpired:
                started.kill()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def postgres() -> Iterator[dict[str, str]]:
    """What a process needs to use a new database, and its port."""
    pytest.importorskip("dagster_postgres", reason="needs the extra postgres")
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *map(Path, os.get_exec_path())]
    programs = next((each for each in folders if all((each / n).exists() for n in NEEDED)), None)
    if programs is None:
        pytest.skip("needs PostgreSQL; Debian's package postgresql brings it")
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="atlas-postgres-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        how = {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid}
        (secret := folder / "password").write_text(PASSWORD)
        data = folder / "data"
        command = f"initdb -D {data} -U atlas -A scram-sha-256 --pwfile={secret} --no-sync"
        subprocess.run(
            [programs / word if word == "initdb" else word for word in command.split()],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **how,  # type: ignore[call-overload]
        )
        port = str(free_port())
        server = [str(programs / "postgres"), "-D", str(data), "-p", port, "-k", str(folder)]
        server += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with process(server, folder / "log", cwd=folder, **how):
            _wait_for(programs, port, folder / "log")
            yield {
                "ATLAS_PG_HOST": "127.0.0.1",
                "ATLAS_PG_USER": "atlas",
                "ATLAS_PG_PASSWORD": PASSWORD,
                "ATLAS_PG_DB": "postgres",
                "port": port,
            }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str | None:
    """PostgreSQL does not run as root; ``None``: this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("needs a user postgres or nobody, for PostgreSQL does not run as root")


def _wait_for(programs: Path, port: str, log: Path) -> None:
    for _ in range(300):
        ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port]
        if subprocess.run(ready, check=False).returncode == 0:
            return
        time.sleep(0.2)
    raise TimeoutError(log.read_text())
