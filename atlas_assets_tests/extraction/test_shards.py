"""Finished shards survive a kill; damaged ones are recognised."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from atlas_assets.errors import ArtifactError, ArtifactWriteError
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.files.scratch import remove_unless_held

FINGERPRINT = "0123456789abcdef"
ARRAYS = {
    "sums": np.array([[0.5, 1e-30], [3.0, np.finfo(np.float32).max]], dtype=np.float32),
    "counts": np.arange(4, dtype=np.int32).reshape(2, 2),
}


def shard_file(folder: Path) -> Path:
    return folder / FINGERPRINT / "00001.safetensors"


@given(
    array=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.bool_]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)
def test_what_is_put_comes_back(
    array: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = ShardStore(tmp_path_factory.mktemp("work"), FINGERPRINT)
    store.put("a", {"x": array})
    found = store.get("a", like={"x": array})
    assert found is not None
    assert found["x"].dtype == array.dtype
    assert found["x"].tobytes() == array.tobytes()
    assert found["x"].shape == array.shape


def test_a_new_store_finds_the_shards_and_same_arrays_make_same_bytes(tmp_path: Path) -> None:
    store = ShardStore(tmp_path, FINGERPRINT)
    assert store.get("00001", like=ARRAYS) is None
    store.put("00001", ARRAYS)
    first = shard_file(tmp_path).read_bytes()
    found = ShardStore(tmp_path, FINGERPRINT).get("00001", like=ARRAYS)
    assert found is not None
    np.testing.assert_array_equal(found["sums"], ARRAYS["sums"])
    for other in ({**ARRAYS, "sums": np.zeros(3)}, {"sums": ARRAYS["sums"]}):
        assert store.get("00001", like=other) is None
    store.put("00001", dict(reversed(ARRAYS.items())))
    assert shard_file(tmp_path).read_bytes() == first


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[:-3],
    "empty": lambda _: b"",
    "a bit flipped": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "without a digest": lambda _: save(ARRAYS),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_shard_is_none_and_warned_of(
    damage: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = ShardStore(tmp_path, FINGERPRINT)
    store.put("00001", ARRAYS)
    path = shard_file(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert store.get("00001", like=ARRAYS) is None
    assert "00001.safetensors is damaged and will be computed again" in caplog.text
    store.put("00001", ARRAYS)
    assert store.get("00001", like=ARRAYS) is not None


def test_shards_of_other_fingerprints_are_removed_once_asked_and_nothing_else(
    tmp_path: Path,
) -> None:
    ShardStore(tmp_path, "f" * 64).put("00001", ARRAYS)
    (tmp_path / "notes").mkdir()
    (tmp_path / "table.parquet").write_bytes(b"kept")
    store = ShardStore(tmp_path, FINGERPRINT)
    assert store.narrowed("x").folder == tmp_path
    assert (tmp_path / ("f" * 64)).is_dir()
    assert store.get("00001", like=ARRAYS) is None
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["notes", "table.parquet"]


IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
import numpy as np
from atlas_assets.extraction.shards import ShardStore
store = ShardStore(Path(sys.argv[1]), "a" * 64)
store.put("00001", {"x": np.zeros(3)})
print("put", flush=True)
sys.stdin.readline()
store.put("00002", {"x": np.zeros(3)})
"""


def test_shards_that_another_process_works_on_stay(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        ShardStore(tmp_path, FINGERPRINT).put("00001", ARRAYS)
        assert sorted(entry.name[0] for entry in tmp_path.iterdir()) == ["0", "a"]
        remove_unless_held(tmp_path)  # which another process works in
        assert [entry.name[0] for entry in tmp_path.iterdir()] == ["a"]
        other.communicate(b"\n")
    assert other.returncode == 0
    assert len(list((tmp_path / ("a" * 64)).glob("*.safetensors"))) == 2
    ShardStore(tmp_path, "b" * 64).get("00001", like=ARRAYS)
    assert list(tmp_path.iterdir()) == []


def test_work_within_work_is_removed_and_leaves_no_file_open(tmp_path: Path) -> None:
    def open_files() -> list[str]:
        links = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.exists()]
        return [link for link in links if link.startswith(str(tmp_path))]

    ShardStore(tmp_path, FINGERPRINT).beside("losses").put("00001", ARRAYS)
    assert len(open_files()) == 1
    remove_unless_held(tmp_path / "losses")
    assert list(tmp_path.iterdir()) == [] and open_files() == []


@pytest.mark.parametrize("fingerprint", ["", "abc", "../../etc/pass", "ABCDEF0123", "0" * 65])
def test_an_unusable_fingerprint_is_refused(fingerprint: str) -> None:
    with pytest.raises(ArtifactError, match="fingerprint"):
        ShardStore(None, fingerprint)


def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(ArtifactWriteError, match="shard 00001"):
        ShardStore(blocked, FINGERPRINT).put("00001", ARRAYS)
