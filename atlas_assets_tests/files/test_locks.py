"""Changes by one thread or process at a time (of processes: `atlas.test_versions`)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from upath import UPath

from atlas_assets.errors import ArtifactWriteError
from atlas_assets.files.locks import exclusive


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_who_comes_second_sees_what_the_first_has_written(tmp_path: Path, scheme: str) -> None:
    path = UPath(f"{scheme}://{tmp_path}/folder/count")

    def add(_: int) -> None:
        with exclusive(path, what="the count"):
            count = int(path.read_text()) if path.exists() else 0
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(count + 1))

    # what is not on this machine's disk is not locked
    with ThreadPoolExecutor(8 if scheme == "file" else 1) as threads:
        list(threads.map(add, range(50)))
    assert path.read_text() == "50"


def test_a_lock_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    (tmp_path / ".pin.lock").mkdir()
    with (
        pytest.raises(ArtifactWriteError, match="left as it was") as error,
        exclusive(tmp_path / "pin", what="the pin"),
    ):
        pass
    assert error.value.where == str(tmp_path / ".pin.lock")
    assert error.value.found == "Is a directory"
