"""Activations and masks of so many pairs that their files hold a dataset per layer."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import pytest

from atlas_assets import io
from atlas_assets.atlas.status import survey
from atlas_assets.errors import ArtifactError, ArtifactWriteError, BusyArtifactError
from atlas_assets.soundness.inspection import Inspection, MaskReader, checks_of, judge
from atlas_assets.stages import blocks
from atlas_assets.stages.activations import stored
from atlas_assets.stages.activations.stored import StoredActivations
from atlas_assets.stages.masks.masks import checker_masks, object_masks
from atlas_assets.stages.masks.packed import PackedMasks, object_masks_of
from atlas_assets.storage.activations import ActivationsFile
from atlas_assets.storage.masks import ObjectMasksFile, layer_part
from atlas_assets_tests.storage.bad_disks import largest_file
from atlas_assets_tests.storage.samples import (
    CONCEPTS,
    PAIRS,
    SWEEP,
    activations,
    in_blocks,
    provenance,
    record_of,
    store_at,
)

FILE, MASKS = ActivationsFile("pairs", "11A_object_prompts.parquet"), ObjectMasksFile()
WIDTH = 19
KEPT = in_blocks(width=WIDTH)
FOUND = KEPT.whole()


@pytest.fixture(params=[1, 500, 1 << 26], autouse=True)
def block_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", request.param)


def test_a_file_is_the_same_bytes_whatever_a_block(path: Path) -> None:
    record = provenance("object_activations", payload_sha256=FOUND.digest())
    FILE.write(path, KEPT, record)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", 123)
        assert FILE.encode(KEPT, record) == path.read_bytes()
    read, stored_record = FILE.read(path)
    assert isinstance(read, StoredActivations)
    assert stored_record == record
    assert read.digest() == FOUND.digest()
    assert FILE.describe(read) == FILE.describe(FOUND)
    with h5py.File(path) as file:
        assert np.array_equal(file["activations/layer_1"][:], FOUND.sums[:, 1])
        assert np.array_equal(file["firing_counts/layer_1"][:], FOUND.counts[:, 1])
        assert file["metadata/units"].asstr()[:].tolist() == list(PAIRS)


def test_activations_beyond_the_rule_are_written_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = provenance("object_activations", payload_sha256=FOUND.digest())
    FILE.write(path, FOUND, record)
    assert not isinstance(FILE.read(path)[0], StoredActivations)
    monkeypatch.setattr(stored, "LARGE", 1)
    FILE.write(path, FOUND, record)
    assert isinstance(FILE.read(path)[0], StoredActivations)


def test_masks_have_the_digests_of_the_published_layout(path: Path) -> None:
    expected, value = object_masks(FOUND, SWEEP[0]), object_masks_of(KEPT, SWEEP[0])
    record = record_of(MASKS, value, setting=SWEEP[0])
    assert record == record_of(MASKS, expected, setting=SWEEP[0])
    MASKS.write(path, value, record)
    read, _ = MASKS.read(path)
    assert isinstance(read.pairs, PackedMasks)
    assert read.digest() == expected.digest()
    assert MASKS.describe(read) == MASKS.describe(expected)
    universal, _ = MASKS.read(path, part="universal")
    assert np.array_equal(universal.universal.bits, expected.universal.bits)
    layer, _ = MASKS.read(path, part=layer_part(2))
    assert np.array_equal(layer.whole_pairs().bits, expected.whole_pairs().bits[:, 2:3])


def test_a_full_disk_leaves_the_earlier_file(path: Path) -> None:
    record = provenance("object_activations", payload_sha256=FOUND.digest())
    FILE.write(path, KEPT, record)
    before = path.read_bytes()
    with (
        largest_file(len(before) // 2),
        pytest.raises(ArtifactWriteError, match="cannot write object_activations"),
    ):
        FILE.write(path, KEPT, record)
    assert path.read_bytes() == before
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_an_interrupt_while_hdf5_writes_is_that_interrupt(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FILE.write(path, KEPT, provenance("object_activations", payload_sha256=FOUND.digest()))
    before = path.read_bytes()
    write_through(Interrupted, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        FILE.write(path, KEPT, provenance("object_activations", payload_sha256=FOUND.digest()))
    assert [path.read_bytes(), *path.parent.iterdir()] == [before, path]


def test_a_disk_that_takes_less_than_it_is_given_is_given_the_rest(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = provenance("object_activations", payload_sha256=FOUND.digest())
    FILE.write(path, KEPT, record)
    before = path.read_bytes()
    path.unlink()
    write_through(InParts, monkeypatch)
    FILE.write(path, KEPT, record)
    assert path.read_bytes() == before


def write_through(kind: type[Wrapped], monkeypatch: pytest.MonkeyPatch) -> None:
    """Open the files that HDF5 itself writes as ``kind``."""
    opened = Path.open

    def wrapped(self: Path, mode: str = "r", buffering: int = -1) -> Any:
        file = opened(self, mode, buffering)
        return kind(file) if (mode, buffering) == ("r+b", 0) else file

    monkeypatch.setattr(Path, "open", wrapped)


class Wrapped:
    """A file through which another is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Wrapped:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: memoryview) -> int:
        return self._file.write(data)


class Interrupted(Wrapped):
    """A file in which somebody presses Control-C while it is written."""

    def write(self, data: memoryview) -> int:
        del data
        raise KeyboardInterrupt


class InParts(Wrapped):
    """A file that takes no more than 100 bytes at once."""

    def write(self, data: memoryview) -> int:
        return self._file.write(data[:100])


@pytest.mark.parametrize("damage", ["value", "width", "units", "type"])
def test_damage_is_named(path: Path, damage: str) -> None:
    value = object_masks_of(KEPT, SWEEP[0])
    MASKS.write(path, value, record_of(MASKS, value))
    with h5py.File(path, "r+") as file:
        if damage == "value":
            file["pair_masks/layer_3"][2, 0] ^= 1
        elif damage == "width":
            file["metadata"].attrs["width"] = 40
        elif damage == "units":
            del file["metadata/units"]
        else:
            del file["pair_masks/layer_0"]
            file["pair_masks/layer_0"] = np.zeros((len(PAIRS), 3), np.int8)
    with pytest.raises(ArtifactError, match=str(path)):
        MASKS.read(path)


def test_what_a_program_writes_into_a_file_that_is_held_is_not_read(path: Path) -> None:
    FILE.write(path, KEPT, provenance("object_activations", payload_sha256=FOUND.digest()))
    held = FILE.read(path)[0]
    with path.open("r+b") as file:
        file.seek(len(path.read_bytes()) // 2)
        file.write(b"\1")
    with pytest.raises(BusyArtifactError, match=f"{path}.*activations"):
        held.whole()


def test_a_rewrite_leaves_a_file_that_is_held(path: Path) -> None:
    record = provenance("object_activations", payload_sha256=FOUND.digest())
    FILE.write(path, KEPT, record)
    held = FILE.read(path)[0]
    FILE.write(
        path, in_blocks(seed=9, width=WIDTH), record_of(FILE, in_blocks(seed=9, width=WIDTH))
    )
    assert held.digest() == FOUND.digest()


def test_bits_that_are_no_neurons_are_refused(path: Path) -> None:
    value = object_masks_of(KEPT, SWEEP[0])
    MASKS.write(path, value, record_of(MASKS, value))
    with h5py.File(path, "r+") as file:
        file["pair_masks/layer_3"][2, -1] |= 1  # 19 neurons take 2 bytes and 3 bits
    for part in (None, layer_part(3)):
        with pytest.raises(ArtifactError, match="beyond the last neuron"):
            MASKS.read(path, part=part)


def test_a_value_that_is_wrong_is_named_with_its_file(path: Path) -> None:
    FILE.write(path, KEPT, provenance("object_activations", payload_sha256=FOUND.digest()))
    with h5py.File(path, "r+") as file:
        del file["metadata"].attrs["provenance"]
        file["firing_counts/layer_1"][2, 3] = 10**6
    with pytest.raises(ArtifactError, match=f"{path}, counts of {PAIRS[2]}, layer 1, neuron 3"):
        FILE.read(path)[0].whole()


def test_an_atlas_of_them(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.write("object_activations", KEPT, inputs={})
    checkers = activations(CONCEPTS, seed=1, width=WIDTH)
    store.write("checker_activations", checkers, inputs={})
    for setting in SWEEP:
        masks = object_masks_of(store.read("object_activations"), setting)
        store.write("object_masks", masks, setting)
        store.write("checker_masks", checker_masks(checkers, setting), setting)
    states = {state.state for state in survey(store, verify=True) if state.size_bytes is not None}
    assert states == {"fresh"}
    reader = MaskReader()
    for setting in SWEEP:
        inspection = Inspection(store, reader, "object_masks", setting)
        for check in checks_of("object_masks"):
            assert judge(check, inspection).state == "passed", check.name
    at = {"eps": SWEEP[0].epsilon, "cons": SWEEP[0].consistency, "data_root": tmp_path}
    whole = io.load_pair_masks(**at)
    assert io.load_pair_masks(**at, layer=2) == {
        pair: {2: layers[2]} for pair, layers in whole.items()
    }
    assert io.load_activations(data_root=tmp_path).digest() == FOUND.digest()
