"""A CSV and its provenance belong together, whenever the writer dies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from upath import UPath

from atlas_assets.errors import ArtifactError, ArtifactWriteError, DamagedArtifactError
from atlas_assets.files.json_text import SEAL
from atlas_assets.storage import sidecar
from atlas_assets_tests.storage.bad_disks import killed_at_every_step, largest_file
from atlas_assets_tests.storage.defects import refusing
from atlas_assets_tests.storage.samples import provenance


def put(path: Path | UPath, data: bytes, code_version: str) -> None:
    sidecar.put(path, data, provenance("summary", code_version=code_version), what="summary")


def version(path: Path | UPath) -> str | None:
    record = sidecar.read(path, path.read_bytes())
    return None if record is None else record.code_version


@pytest.mark.parametrize("remote", [False, True])
def test_one_sidecar_per_file_is_kept(tmp_path: Path, remote: bool) -> None:
    folder = UPath(f"memory://{tmp_path.name}") if remote else tmp_path
    put(folder / "a.csv", b"one\n", "1")
    put(folder / "a.csv.csv", b"another\n", "2")
    put(folder / "a.csv", b"two\n", "3")
    assert version(folder / "a.csv") == "3"
    assert version(folder / "a.csv.csv") == "2"
    assert len(list((folder / ".provenance").glob("*.json"))) == 2


def test_a_file_without_sidecar_is_one_of_the_release(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"one\n")
    put(tmp_path / "b.csv", b"two\n", "1")
    assert version(tmp_path / "a.csv") is None
    # it may be replaced by its equal
    put(tmp_path / "a.csv", b"one\n", "1")
    assert version(tmp_path / "a.csv") == "1"


@pytest.mark.parametrize("before_is_ours", [True, False])
def test_a_failed_write_leaves_no_trace(tmp_path: Path, before_is_ours: bool) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"one\n")
    if before_is_ours:
        put(path, b"one\n", "1")
    before = sorted(tmp_path.rglob("*.json"))
    with largest_file(2000), pytest.raises(ArtifactWriteError, match="cannot write summary"):
        put(path, b"two\n" * 1000, "2")
    assert version(path) == ("1" if before_is_ours else None)
    assert sorted(tmp_path.rglob("*.json")) == before


def test_an_edited_file_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "a.csv", b"one\n", "1")
    (tmp_path / "a.csv").write_bytes(b"one!\n")
    with refusing(ArtifactError, "edited after it was written", "a.csv", ".provenance"):
        version(tmp_path / "a.csv")


def test_a_record_is_not_taken_away_by_a_blank_one(tmp_path: Path) -> None:
    put(tmp_path / "a.csv", b"one\n", "1")
    (record,) = (tmp_path / ".provenance").glob("*.json")
    told = json.loads(record.read_text())
    del told[SEAL]
    for text in ("null\n", "", json.dumps(told)):
        record.write_text(text)
        with refusing(DamagedArtifactError, "record is damaged", record.name):
            version(tmp_path / "a.csv")


def put_first(folder: Path, kind: str) -> None:
    if kind == "ours":
        put(folder / "a.csv", b"1", "1")
    else:
        (folder / "a.csv").write_bytes(b"1")


def put_second(folder: Path, _: str) -> None:
    put(folder / "a.csv", b"2", "2")


def state(folder: Path, _: str) -> list[str | None]:
    return [(folder / "a.csv").read_text(), version(folder / "a.csv")]


@pytest.mark.parametrize(("kind", "recorded"), [("ours", "1"), ("release", None)])
def test_a_kill_leaves_file_and_provenance_of_one_kind(
    tmp_path: Path, kind: str, recorded: str | None
) -> None:
    states = killed_at_every_step(put_first, put_second, state, tmp_path / "disk", kind)
    earlier = ["1", recorded]
    assert all(found in (earlier, ["2", "2"]) for found in states)
    assert states[0] == earlier
    assert states[-1] == ["2", "2"]
