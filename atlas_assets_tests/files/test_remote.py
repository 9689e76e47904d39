"""What is asked about remote files, and how it is answered from one listing."""

from __future__ import annotations

from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from upath import UPath

from atlas_assets.atlas.open import require_folder
from atlas_assets.errors import ArtifactWriteError, DamagedArtifactError, SettingsError
from atlas_assets.files import atomic
from atlas_assets.files.locations import (
    content,
    file_digest,
    file_size,
    file_state,
    is_there,
    names_in,
)
from atlas_assets.files.remote import folder_at, listed
from atlas_assets.files.steady import read_steadily
from atlas_assets.settings import AtlasSettings
from atlas_assets.storage import sidecar
from atlas_assets.storage.provenance import Provenance
from atlas_assets_tests.storage.samples import provenance

FOLDER = UPath("memory://listing")


@pytest.fixture
def remote() -> UPath:
    if FOLDER.exists():
        FOLDER.rmdir(recursive=True)
    for name in ("b", "a"):
        atomic.write_bytes(FOLDER / name, name.encode(), what="a file")
    return FOLDER


def test_a_remote_file_has_a_state_that_changes_with_it(remote: UPath) -> None:
    before = file_state(remote / "a")
    assert before == file_state(remote / "a")
    assert file_size(remote / "a") == 1
    atomic.write_bytes(remote / "a", b"other", what="a file")
    assert file_state(remote / "a") != before
    assert (file_state(remote / "c"), file_size(remote / "c")) == (None, 0)
    assert not is_there(remote / "c")


def test_within_a_listing_nothing_is_asked_again(remote: UPath, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"x")
    with listed(remote, remote / "nowhere", folder_at(tmp_path)):
        atomic.write_bytes(remote / "late", b"late", what="a file")
        (tmp_path / "late").write_bytes(b"x")
        assert names_in(remote) == ["a", "b"]
        assert not is_there(remote / "late")
        assert names_in(remote / "nowhere") == []
        assert is_there(remote / "a")
        # what is on this machine is looked at as ever, and so is what a file holds
        assert names_in(tmp_path) == ["late", "local"]
        assert content(remote / "late") == b"late"
    assert names_in(remote) == ["a", "b", "late"]


def test_a_folder_is_absolute_and_may_be_missing(tmp_path: Path, remote: UPath) -> None:
    assert folder_at("data").is_absolute()
    assert folder_at(str(remote)) == remote
    for missing in (folder_at(tmp_path / "nowhere"), remote / "nowhere"):
        assert names_in(missing) == []


def test_a_file_that_was_replaced_since_it_was_listed_is_read_as_it_is(remote: UPath) -> None:
    record = provenance("summary")
    sidecar.put(remote / "c", b"old", record, what="a file")

    def read() -> Provenance | None:
        return sidecar.read(remote / "c", content(remote / "c"))

    with listed(remote, remote / sidecar.FOLDER):
        sidecar.put(remote / "c", b"new", record, what="a file")
        with pytest.raises(DamagedArtifactError):
            read()
        assert read_steadily([remote / "c"], read) == record


@pytest.mark.parametrize(
    "url", ["ftp://me:hidden@host/data", "s3://bucket/data?signature=hidden", "nostore://bucket"]
)
def test_a_url_that_cannot_be_used_is_refused_without_its_secrets(url: str) -> None:
    for refused in (lambda: folder_at(url), lambda: AtlasSettings.build(data_dir=url)):
        with pytest.raises(SettingsError) as caught:
            refused()
        assert "hidden" not in str(caught.value)
        assert list(caught.value.said) == ["where", "expected", "found", "what to do"]


def test_a_store_that_does_not_answer_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoConnectionError(Exception):
        """As packages of stores raise it, which is no OSError."""

    def refuse(*_: object, **__: object) -> None:
        raise NoConnectionError("cannot connect to https://me:hidden@host/")

    for name in ("info", "ls", "cat_file", "pipe_file", "_open"):
        monkeypatch.setattr(MemoryFileSystem, name, refuse)
    for ask in (file_state, content, file_digest, names_in, require_folder):
        with pytest.raises(SettingsError, match="cannot be reached") as caught:
            ask(FOLDER / "a")
        assert "hidden" not in str(caught.value)
        assert list(caught.value.said) == ["where", "expected", "found", "what to do"]
    with pytest.raises(ArtifactWriteError, match="cannot write a file") as unwritten:
        atomic.write_bytes(FOLDER / "a", b"a", what="a file")
    assert "hidden" not in str(unwritten.value)
