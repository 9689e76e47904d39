"""Passes in padded batches and over the tree go on from what they have written."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atlas_assets.errors import ModelError
from atlas_assets.extraction import plain_pass, tree_pass
from atlas_assets.extraction.shards import ShardStore
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.extraction.tiny_models import FINGERPRINT, extracted, read
from atlas_assets_tests.forkserver import PROCESSES

CALLS_BEFORE_THE_KILL = {"plain": 12, "tree": 12, "published": 4}
UNITS = {f"unit {n}": [f"x{n} = {'y' * i}" for i in range(8)] for n in range(6)}
#: shards of few prompts, and legs of two chunks after each of which the sums are written
SMALL_PARTS = (
    (plain_pass, "SHARD_PROMPTS", 8),
    (tree_pass, "CHUNKS_PER_LEG", 2),
    (tree_pass, "NOTE_SECONDS", -1.0),
)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for part in SMALL_PARTS:
        monkeypatch.setattr(*part)


@pytest.fixture(params=["plain", "tree", "published"])
def way(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def digests(
    model: Any, folder: Path | None, way: str, units: Any = UNITS, batch_tokens: int = 8
) -> tuple[str, ...]:
    """What the plain pass, the tree's or that of the published readout gives."""
    options = {"shards": ShardStore(folder, FINGERPRINT), "batch_tokens": batch_tokens}
    if way == "published":
        return (extracted(model, units, readout=way, **options).digest(),)
    found = read(model, units, path=way, **options)
    return found.activations.digest(), *(str(found.losses[name].tolist()) for name in units)


def run(folder: Path | None, way: str, **options: Any) -> tuple[tuple[str, ...], int]:
    """What a pass gives, and how often it called the network."""
    model = tiny_models.sparse_circuitgpt()
    calls: list[int] = []
    model.points[0].register_forward_pre_hook(lambda _m, _i: calls.append(1))
    return digests(model, folder, way, **options), len(calls)


def die_in_the_middle(folder: Path, way: str) -> None:
    """In a process of its own: run a pass that is killed while it is under way."""
    torch.set_num_threads(1)
    for part in SMALL_PARTS:
        setattr(*part)
    model = tiny_models.sparse_circuitgpt()
    left = CALLS_BEFORE_THE_KILL[way]

    def kill(_module: Any, _inputs: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    model.points[0].register_forward_pre_hook(kill)
    digests(model, folder, way)


def stored(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def test_after_a_kill_the_run_continues_and_yields_the_same_bytes(tmp_path: Path, way: str) -> None:
    killed = PROCESSES.Process(target=die_in_the_middle, args=(tmp_path, way))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert stored(tmp_path)
    expected, calls = run(None, way)
    found, more_calls = run(tmp_path, way)
    assert found == expected
    assert 0 < more_calls < calls


def test_a_finished_run_is_loaded_whole_and_a_damaged_file_is_not(
    tmp_path: Path, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected, _ = run(tmp_path, way)
    assert run(tmp_path, way) == (expected, 0)
    damaged = stored(tmp_path)[0]
    damaged.write_bytes(damaged.read_bytes()[:-3])
    with caplog.at_level(logging.WARNING):
        found, calls = run(tmp_path, way)
    assert found == expected
    assert calls > 0
    assert "is damaged and will be computed again" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"batch_tokens": 9},
        {"units": {**UNITS, "unit 0": ["x"]}},
        {"units": {**UNITS, "unit 9": ["x"]}},
    ],
    ids=["batches", "fewer", "more"],
)
def test_files_of_another_computation_are_not_used(
    tmp_path: Path, way: str, change: dict[str, Any]
) -> None:
    if way == "published":  # its batches are units; here it is another readout
        change = {**change, "batch_tokens": 8}
    run(tmp_path, "plain" if way == "published" else way)
    assert run(tmp_path, way, **change) == run(None, way, **change)
    assert len({path.parent for path in stored(tmp_path)}) == 1


@pytest.mark.parametrize("change", [{"chunks": np.asarray([-1])}, {"sums": np.zeros((1, 3, 16))}])
def test_a_note_that_does_not_fit_is_not_used(
    change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = ShardStore.put
    with monkeypatch.context() as patch:
        patch.setattr(ShardStore, "put", lambda store, key, kept: put(store, key, kept | change))
        expected = run(tmp_path, "tree")
    assert run(tmp_path, "tree") == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named_and_never_stored(
    tmp_path: Path, way: str, value: float
) -> None:
    model = tiny_models.circuitgpt()
    with torch.no_grad():
        model.base.transformer.wte.weight[ord("!")] = value
    with pytest.raises(ModelError, match=r"not finite.*\n.*unit b, prompt 1, layer 0"):
        digests(model, tmp_path, way, {"a": ["x", "zz"], "b": ["x", "u!", "v"], "c": ["wide"]}, 1)
    with torch.no_grad():
        model.points[1].c_proj.bias.fill_(value)
    with pytest.raises(ModelError, match="unit a, prompt 0, layer 1"):
        digests(model, tmp_path, way, {"a": ["x"]}, 1)
    assert stored(tmp_path) == []
