"""Sums of a large atlas: the same as in memory, on disk, and made once."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from atlas_assets.errors import EngineError
from atlas_assets.extraction import shard_manifest, unit_shards
from atlas_assets.extraction.engine import THREADS, Engine
from atlas_assets.extraction.extraction import PromptReadings, read_prompts
from atlas_assets.extraction.shard_manifest import Manifest
from atlas_assets.extraction.shards import ShardStore, digest_of, write_shard
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Progress
from atlas_assets.stages.activations import stored
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.stored import StoredActivations
from atlas_assets_tests.extraction import tiny_models

#: two of them share a prompt, so they are of one shard
UNITS = {f"u{number}": [f"x = {number}", f"y{number}" * 3, "z" * number] for number in range(1, 9)}
UNITS["u7"] = [*UNITS["u7"], *UNITS["u2"]]


def read(
    folder: Path | None,
    path: str = "tree",
    lines: list[str] | None = None,
    engine: Engine = THREADS,
) -> PromptReadings:
    return read_prompts(
        tiny_models.ARCHITECTURES["llama"](),
        UNITS,
        shards=ShardStore(folder, "0" * 8),
        progress=Progress("reading", log=(lines if lines is not None else []).append),
        path=path,  # type: ignore[arg-type]
        engine=engine,
    )


@dataclass(frozen=True)
class Apart:
    """Runs what could be sent to another process, which may have another disk."""

    folder: Path | None = None

    def run(
        self,
        model: LoadedModel,
        work: Any,
        batches: Iterable[Any],
        take: Callable[[Any, Any], None],
    ) -> None:
        sent = pickle.loads(pickle.dumps(work))
        with (replace(sent, folder=self.folder) if self.folder else sent).on(model) as run_batch:
            for batch in batches:
                take(batch, run_batch(pickle.loads(pickle.dumps(batch))))


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LARGE", 1)
    monkeypatch.setattr(unit_shards, "SHARD_PROMPTS", 7)


@pytest.mark.parametrize("path", ["tree", "plain"])
def test_large_sums_lie_in_shards_of_whole_units_and_are_what_they_are_in_memory(
    tmp_path: Path, large: None, path: str
) -> None:
    here, kept = read(None, path), read(tmp_path, path)
    assert isinstance(here.activations, Activations)
    assert isinstance(kept.activations, StoredActivations)
    assert len(list(tmp_path.glob("*/0*.safetensors"))) == 3
    found = kept.activations.whole()
    assert found.names == here.activations.names == tuple(sorted(UNITS))
    np.testing.assert_array_equal(found.counts, here.activations.counts)
    np.testing.assert_allclose(found.sums, here.activations.sums, rtol=1e-5, atol=1e-6)
    for unit, losses in here.losses.items():
        np.testing.assert_allclose(kept.losses[unit], losses, rtol=1e-5)
    some = ("u1", "u2", "u5", "u8")
    of_some = kept.activations.select(some)
    assert isinstance(of_some, StoredActivations)
    assert of_some.digest() == found.select(some).digest()


def test_a_shard_that_is_there_is_not_run_again_and_a_damaged_one_is(
    tmp_path: Path, large: None
) -> None:
    first = read(tmp_path)
    shards = sorted(tmp_path.glob("*/0*.safetensors"))
    before = [shard.stat().st_mtime_ns for shard in shards]
    shards[1].write_bytes(shards[1].read_bytes()[:-1])
    lines: list[str] = []
    again = read(tmp_path, lines=lines)
    after = [shard.stat().st_mtime_ns for shard in shards]
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False, True]
    assert "taken from an earlier run" in lines[-1]
    assert again.activations.digest() == first.activations.digest()
    assert all(np.array_equal(again.losses[unit], first.losses[unit]) for unit in UNITS)


def test_the_manifest_names_every_shard_and_no_other_file_is_taken_for_one(
    tmp_path: Path, large: None, caplog: pytest.LogCaptureFixture
) -> None:
    first = read(tmp_path)
    shards = {shard.stem: shard for shard in tmp_path.glob("*/0*.safetensors")}
    (listed,) = tmp_path.glob(f"*/{shard_manifest.NAME}")
    before, entries = listed.read_bytes(), Manifest(listed.parent).entries
    assert entries.keys() == shards.keys()
    assert sum(entry.units for entry in entries.values()) == len(UNITS)
    assert {key: entry.sha256 for key, entry in entries.items()} == {
        key: digest_of(shard) for key, shard in shards.items()
    }
    # a sound shard with other numbers, as of a program that was changed meanwhile
    with safe_open(shards["00001"], framework="numpy") as file:
        other = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    other["sums"] = other["sums"] + 1
    write_shard(shards["00001"], other)
    again = read(tmp_path)
    assert "00001" in caplog.text and "another than was written" in caplog.text
    assert again.activations.digest() == first.activations.digest()
    assert listed.read_bytes() == before


def test_a_shard_has_no_more_units_than_fit(
    tmp_path: Path, large: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_shards, "SHARD_BYTES", 1)
    read(tmp_path)
    # the two units that share prompts are one
    assert len(list(tmp_path.glob("*/0*.safetensors"))) == len(UNITS) - 1


def test_whoever_runs_a_shard_writes_the_same_file(tmp_path: Path, large: None) -> None:
    here, apart = read(tmp_path / "here"), read(tmp_path / "apart", engine=Apart())
    assert here.activations.digest() == apart.activations.digest()
    assert all(np.array_equal(here.losses[unit], apart.losses[unit]) for unit in UNITS)
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / place).glob("*/0*")}
        for place in ("here", "apart")
    ]
    assert files[0] == files[1] and len(files[0]) == 3


def test_a_worker_that_writes_elsewhere_is_refused(tmp_path: Path, large: None) -> None:
    with pytest.raises(EngineError, match="did not write") as caught:
        read(tmp_path / "here", engine=Apart(tmp_path / "elsewhere"))
    assert "ATLAS_WORK_DIR" in str(caught.value)
