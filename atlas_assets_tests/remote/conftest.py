"""A server that speaks S3, on 127.0.0.1, in a process and an environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SERVER = "ATLAS_TEST_S3_SERVER"


@dataclass(frozen=True)
class S3:
    """Attributes:
    environment: what a process needs to use the server.
    log: where the server notes every request.
    """

    environment: dict[str, str]
    log: Path

    def requests(self) -> dict[str, int]:
        """How many requests of each kind there were so far."""
        methods = re.findall(r'"(\w+) /atlas', self.log.read_text())
        return {method: methods.count(method) for method in sorted(set(methods))}


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    pytest.importorskip("s3fs", reason="needs the extra s3; `make test-s3` installs it")
    command = shutil.which(os.environ.get(SERVER, "moto_server"))
    if command is None:
        pytest.skip(f"needs an S3 server, named by {SERVER}; `make test-s3` installs one")
    with server(command, tmp_path_factory.mktemp("s3")) as started:
        yield started


@contextmanager
def server(command: str, folder: Path) -> Iterator[S3]:
    """Start a server with an empty bucket ``atlas``; its log lies in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    address, log = f"http://127.0.0.1:{port}", folder / "log"
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    environment = {
        **keys,
        "AWS_ENDPOINT_URL": address,
        "AWS_DEFAULT_REGION": "us-east-1",
        "XDG_CACHE_HOME": str(folder),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [command, "-H", "127.0.0.1", "-p", port],
            env={**os.environ, **keys},
            stdout=out,
            stderr=out,
        )
    try:
        _wait_for(address)
        bucket = urllib.request.Request(f"{address}/atlas", method="PUT")
        urllib.request.urlopen(bucket, timeout=30).close()
        yield S3(environment, log)
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=30).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"no S3 server at {address}")
