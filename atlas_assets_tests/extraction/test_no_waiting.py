"""The accelerator's path queues work and asks for no value, so that the host never waits.

Without a GPU this is seen on tensors that hold no data (the meta device): whatever asks for a
value there raises, and they take the path of every device that is not a CPU.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atlas_assets.extraction.batching import placed
from atlas_assets.extraction.prefix_tree import PrefixTree, TreeChunk
from atlas_assets.extraction.prompts import TokenTable
from atlas_assets.extraction.readouts import tapped
from atlas_assets.extraction.reduction import Reduction
from atlas_assets.extraction.tree_model import TreeModel
from atlas_assets.extraction.tree_network import TreeNetwork
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.loading import load, resolve
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.models import tiny

LENGTHS = np.asarray([9, 4, 7])
IDS = tiny.ids(3, 9).numpy()
REAL = np.arange(9) < LENGTHS[:, None]


def model(folder: Path, device: str, dtype: str = "float32") -> LoadedModel:
    loaded = load(resolve(str(tiny.write(folder)), None), device="cpu", dtype=dtype)
    network = loaded.network.to(device)
    where = next(network.parameters()).device
    return dataclasses.replace(loaded, network=network, base=network.base_model, device=where)


def chunk() -> TreeChunk:
    tokens = np.concatenate([ids[:length] for ids, length in zip(IDS, LENGTHS, strict=True)])
    offsets = np.concatenate([[0], np.cumsum(LENGTHS)])
    table = TokenTable(tokens=tokens.astype(np.int32), offsets=offsets)
    tree, _ = PrefixTree.of(table, np.arange(3))
    return tree.chunk(0, 3)


def in_batches(loaded: LoadedModel) -> torch.Tensor:
    """Readouts of a padded batch, added up."""
    reduction = Reduction(loaded, 1, 3)
    with tapped(loaded) as tap:
        arrays = (IDS, LENGTHS - 1, REAL.astype(np.int64))
        ids, last, mask = (placed(array, loaded.device) for array in arrays)
        rows = torch.arange(3, device=loaded.device)
        readouts, _ = tap.read(loaded.base, ids, (rows, last), mask)
    reduction.add(readouts, np.ones((1, 3)), np.zeros(1, np.int64), np.arange(3))
    return readouts


def on_the_tree(loaded: LoadedModel) -> torch.Tensor:
    """Readouts and losses of a chunk of the tree."""
    with tapped(loaded) as tap:
        network = TreeNetwork(loaded.network, tap)  # type: ignore[arg-type]
        readouts, losses = network.run(chunk(), losses=True)
    assert losses is not None
    return readouts


@pytest.mark.parametrize("way", [in_batches, on_the_tree])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_nothing_asks_for_a_value(tmp_path: Path, way: Any, dtype: str) -> None:
    found = way(model(tmp_path, "meta", dtype))
    assert found.shape == (3, 2, 16)
    assert found.device.type == "meta"


@pytest.mark.parametrize("made", [tiny_models.llama, tiny_models.gpt2])
def test_nothing_asks_for_a_value_of_another_model_on_the_tree(made: Any) -> None:
    loaded = made()
    where = loaded.network.to("meta").device
    loaded = dataclasses.replace(loaded, device=where)
    with tapped(loaded) as tap:
        readouts, losses = TreeModel(loaded, tap).run(chunk(), losses=True)
    assert losses is not None
    assert {readouts.device.type, losses.device.type} == {"meta"}


def test_asking_for_a_value_would_raise() -> None:
    with pytest.raises(RuntimeError, match="meta"):
        bool(torch.ones(2, device="meta").any())
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones(2, device="meta").nonzero()


@pytest.mark.gpu
@pytest.mark.parametrize("way", [in_batches, on_the_tree])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_gpu_is_not_waited_for(tmp_path: Path, way: Any, dtype: str) -> None:
    loaded = model(tmp_path, "cuda", dtype)
    first = way(loaded)  # libraries set themselves up, and may wait meanwhile
    torch.cuda.set_sync_debug_mode("error")
    try:
        second = way(loaded)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(second, first)
    if dtype == "float32":
        torch.testing.assert_close(first.cpu(), way(model(tmp_path, "cpu")), rtol=0, atol=1e-3)
