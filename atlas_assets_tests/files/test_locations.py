"""Files are named, read and told apart alike wherever they are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from upath import UPath

from atlas_assets.errors import ArtifactError, MissingArtifactError
from atlas_assets.files.locations import Fetched, content, file_digest, file_state, label


@pytest.mark.parametrize("read", [content, file_digest])
def test_a_missing_file_and_a_folder_are_told_apart(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    for path in (tmp_path / "nowhere.h5", UPath("memory://nowhere.h5")):
        with pytest.raises(MissingArtifactError, match=r"nowhere\.h5"):
            read(path)
    with pytest.raises(ArtifactError, match="cannot be read") as caught:
        read(tmp_path)
    assert not isinstance(caught.value, MissingArtifactError)


def test_a_remote_file_is_read_once(tmp_path: Path) -> None:
    remote, local = UPath("memory://once/file"), tmp_path / "file"
    for path in (remote, local):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"content")
        assert content(path) == b"content"
        assert label(Fetched(path, b"")) == str(path)
        assert file_digest(path) == hashlib.sha256(b"content").hexdigest()
    assert label(b"content") == "7 bytes in memory"


def test_the_state_of_a_file_changes_with_its_content_even_at_its_former_time(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    assert file_state(path) is None
    path.write_bytes(b"one")
    before, times = file_state(path), path.stat()
    assert file_state(path) == before
    path.write_bytes(b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file_state(path) != before
