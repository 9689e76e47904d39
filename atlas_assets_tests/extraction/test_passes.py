"""Passes in padded batches and over the tree go on from what they have written."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atlas_assets.errors import ModelError
from atlas_assets.extraction.shards import ShardStore
from atlas_assets_tests.extraction import resumed_extraction, tiny_models
from atlas_assets_tests.extraction.resumed_extraction import UNITS

PARTS = {"a": ["x", "y", "zz"], "b": ["x", "u!", "v"], "c": ["wide"]}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for part in resumed_extraction.SMALL_PARTS:
        monkeypatch.setattr(*part)


@pytest.fixture(params=["plain", "tree", "published"])
def way(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def run(folder: Path | None, way: str, **options: Any) -> tuple[tuple[str, ...], int]:
    """What a pass gives, and how often it called the network."""
    model = tiny_models.sparse_circuitgpt()
    calls: list[int] = []
    model.mlps[0].register_forward_pre_hook(lambda _m, _i: calls.append(1))
    return resumed_extraction.run(model, folder, way, **options), len(calls)


def stored(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def test_after_a_kill_the_run_continues_and_yields_the_same_bytes(tmp_path: Path, way: str) -> None:
    module = "atlas_assets_tests.extraction.resumed_extraction"
    killed = subprocess.run(
        [sys.executable, "-m", module, str(tmp_path), way],
        cwd=Path(__file__).resolve().parents[2],
        check=False,
        capture_output=True,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
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
        resumed_extraction.run(model, tmp_path, way, PARTS, 1)
    with torch.no_grad():
        model.mlps[1].c_proj.bias.fill_(value)
    with pytest.raises(ModelError, match="unit a, prompt 0, layer 1"):
        resumed_extraction.run(model, tmp_path, way, {"a": ["x"]}, 1)
    assert stored(tmp_path) == []
