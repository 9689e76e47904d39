"""The pass over the tree: resumable, with the same bytes each time."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atlas_assets.errors import ModelError
from atlas_assets.extraction import tree_pass
from atlas_assets.extraction.extraction import PromptReadings
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.extraction.tree_network import TreeNetwork
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.extraction.tiny_models import FINGERPRINT, read

MANY = {f"unit {n}": [f"x{n % 3} = {'y' * (i % 9)}{i % 4}" for i in range(9)] for n in range(8)}


def same(one: PromptReadings, other: PromptReadings) -> bool:
    return one.activations.digest() == other.activations.digest() and all(
        one.losses[name].tobytes() == other.losses[name].tobytes() for name in one.losses
    )


class Killed(BaseException):
    """As when the process dies: nothing in between may catch it."""


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Legs of two small chunks, each noted."""
    monkeypatch.setattr(tree_pass, "CHUNKS_PER_LEG", 2)
    monkeypatch.setattr(tree_pass, "NOTE_SECONDS", -1.0)


@pytest.fixture
def chunks_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of nodes of each chunk that is run from now on."""
    sizes: list[int] = []
    run = TreeNetwork.run

    def watched(self: TreeNetwork, chunk: Any, **options: Any) -> Any:
        sizes.append(len(chunk))
        if len(sizes) == STOP_AT.get("chunk"):
            raise Killed
        return run(self, chunk, **options)

    monkeypatch.setattr(TreeNetwork, "run", watched)
    return sizes


STOP_AT: dict[str, int] = {}


@pytest.mark.usefixtures("noting")
def test_a_killed_pass_goes_on_from_its_last_note(
    tmp_path: Path, chunks_run: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_models.sparse_circuitgpt()
    expected = read(model, MANY, batch_tokens=20)
    n_chunks = len(chunks_run)
    assert n_chunks > 5

    chunks_run.clear()
    monkeypatch.setitem(STOP_AT, "chunk", 5)
    with pytest.raises(Killed):
        read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    monkeypatch.delitem(STOP_AT, "chunk")
    chunks_run.clear()
    found = read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    assert same(found, expected)
    assert len(chunks_run) == n_chunks - 4


@pytest.mark.usefixtures("noting")
def test_a_finished_pass_is_loaded_whole_and_a_damaged_one_is_not(
    tmp_path: Path, chunks_run: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_models.sparse_circuitgpt()
    expected = read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    chunks_run.clear()
    again = read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    assert same(again, expected)
    assert chunks_run == []
    (note,) = tmp_path.rglob("*.safetensors")
    note.write_bytes(note.read_bytes()[:-3])
    with caplog.at_level(logging.WARNING):
        anew = read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    assert same(anew, expected)
    assert chunks_run
    assert "is damaged and will be computed again" in caplog.text


@pytest.mark.parametrize("change", [{"chunks": np.asarray([-1])}, {"sums": np.zeros((1, 3, 16))}])
def test_a_note_that_does_not_fit_is_not_used(
    change: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_models.sparse_circuitgpt()
    shards = ShardStore(tmp_path, FINGERPRINT)
    put = ShardStore.put
    with monkeypatch.context() as patch:
        patch.setattr(ShardStore, "put", lambda store, key, kept: put(store, key, kept | change))
        expected = read(model, MANY, shards=shards)
    assert same(read(model, MANY, shards=shards), expected)


@pytest.mark.parametrize(
    ("units", "batch_tokens"),
    [(MANY, 21), ({**MANY, "unit 0": ["x"]}, 20), ({**MANY, "unit 9": ["x"]}, 20)],
)
def test_notes_of_another_pass_are_not_used(
    tmp_path: Path, chunks_run: list[int], units: Any, batch_tokens: int
) -> None:
    model = tiny_models.sparse_circuitgpt()
    read(model, MANY, batch_tokens=20, shards=ShardStore(tmp_path, FINGERPRINT))
    expected = read(model, units, batch_tokens=batch_tokens)
    n_chunks = len(chunks_run)
    found = read(model, units, batch_tokens=batch_tokens, shards=ShardStore(tmp_path, FINGERPRINT))
    assert same(found, expected)
    assert len(chunks_run) > n_chunks


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_never_stored(tmp_path: Path, value: float) -> None:
    model = tiny_models.circuitgpt()
    with torch.no_grad():
        model.base.transformer.wte.weight[ord("!")] = value
    units = {"a": ["x", "y", "zz"], "b": ["x", "u!", "v"], "c": ["wide"]}
    with pytest.raises(ModelError, match=r"not finite.*\n.*unit b, prompt 1, layer 0"):
        read(model, units, shards=ShardStore(tmp_path, FINGERPRINT), batch_tokens=1)
    assert list(tmp_path.rglob("*.safetensors")) == []
