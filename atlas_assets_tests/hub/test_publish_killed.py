"""kill −9 of a process that publishes: the repository is at the old commit or at the new one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from atlas_assets.hub.staging import Stage
from atlas_assets_tests.hub.hub_faults import Fault
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import FRONT, HAND_WRITTEN, REPO, Atlas, Publisher

_PATIENCE = 60.0
_PROGRAM = "atlas_assets_tests.hub.published_and_killed"


@pytest.mark.parametrize(
    ("method", "path", "landed"),
    [
        ("PUT", r"/_lfs/", False),
        ("POST", r"/commit/", False),
        ("POST", r"/tag/", True),
    ],
    ids=["while it uploads", "while it commits", "after it committed"],
)
def test_a_killed_publication(
    hub: LocalHub, few: Stage, atlas: Atlas, tmp_path: Path, method: str, path: str, landed: bool
) -> None:
    publisher = Publisher(hub, few)
    before = hub.push(REPO, {"README.md": f"{FRONT}{HAND_WRITTEN}".encode()})
    # what a killed publication leaves behind goes there
    environment = hub.environment(tmp_path / "home", TMPDIR=str(tmp_path))
    stalled = hub.fail(method, path, delay=_PATIENCE, drop=True)
    process = subprocess.Popen(
        [sys.executable, "-m", _PROGRAM, atlas.settings.data_dir],
        env=environment,
    )
    try:
        _wait_for(stalled, process)
    finally:
        process.kill()
        process.wait()
    if landed:
        assert hub.head(REPO) != before and publisher.commits() == 2
        assert not publisher.tags
    else:
        assert hub.head(REPO) == before and set(hub.files(REPO)) == {"README.md"}
    again = publisher.publish()
    assert again.committed is not landed and again.tagged
    assert publisher.is_whole() and publisher.commits() == 2


def _wait_for(fault: Fault, process: subprocess.Popen[bytes]) -> None:
    """Until a request has met the fault."""
    end = time.monotonic() + _PATIENCE
    while fault.times:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.02)
