"""kill −9 of a process that publishes: the repository is at the old commit or at the new one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from atlas_assets.hub.staging import Stage
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.publishing import FRONT, HAND_WRITTEN, REPO, Atlas, Publisher

_PATIENCE = 60.0
#: publishes a few files of the sound atlas in the folder that it is given
_PROGRAM = """
import sys
from pathlib import Path
from atlas_assets.atlas.open import open_with_model
from atlas_assets.hub_client.client import HubClient
from atlas_assets_tests.hub.publishing import FEW, Atlas
from atlas_assets_tests.soundness import sound_atlas

settings = sound_atlas.settings_in(Path(sys.argv[1]))
Atlas(open_with_model(settings), settings).publish(HubClient(), cells=FEW)
"""


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
        [sys.executable, "-c", _PROGRAM, atlas.settings.data_dir], env=environment
    )
    try:
        end = time.monotonic() + _PATIENCE
        while stalled.times:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    if landed:
        assert publisher.head != before and publisher.commits() == 2 and not publisher.tags
    else:
        assert publisher.head == before and set(hub.files(REPO)) == {"README.md"}
    again = publisher.publish()
    assert again.committed is not landed and again.tagged
    assert publisher.is_whole() and publisher.commits() == 2
