"""The non-zero weights of real networks, held to their dense matrices through the edges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from atlas_assets.models.loading import load
from atlas_assets.models.sources import resolve
from atlas_assets.models.wiring import block_weights
from atlas_assets.stages.circuits.wiring import KINDS, Entries, Weights, edges_of
from atlas_assets_tests.models import tiny
from atlas_assets_tests.oracles import wiring_naive


def sparse(seed: int, share: float = 0.2) -> dict[str, torch.Tensor]:
    """The tensors of a random network, most of the entries of its matrices zero."""
    network, rng = tiny.network(seed), torch.Generator().manual_seed(seed)
    found = tiny.tensors(network)
    for name, tensor in found.items():
        if name.endswith("weight") and (".attn.c_" in name or ".mlp.c_" in name):
            tensor *= torch.rand(tensor.shape, generator=rng) < share
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_edges_follow_from_the_matrices_of_the_checkpoint(seed: int, tmp_path: Path) -> None:
    tensors = sparse(seed)
    folder = tiny.write(tmp_path / "model", weights=tensors)
    weights = block_weights(load(resolve(str(folder), None), device="cpu", dtype="float32"))
    assert weights is not None
    reads, writes = Entries(*weights.reads), Entries(*weights.writes)
    inner = tiny.OPTIONS["n_head"] * tiny.OPTIONS["d_head"]
    layers = []
    for layer in range(tiny.OPTIONS["n_layer"]):
        block = f"{tiny.PREFIX}transformer.h.{layer}"
        layers.append(
            {
                "c_fc": tensors[f"{block}.mlp.c_fc.weight"].numpy(),
                "c_proj": tensors[f"{block}.mlp.c_proj.weight"].numpy(),
                # queries, keys, values
                "values": tensors[f"{block}.attn.c_attn.weight"].numpy()[2 * inner :],
                "out": tensors[f"{block}.attn.c_proj.weight"].numpy(),
            }
        )
    width = tiny.OPTIONS["d_model"]
    n_read = sum(
        np.count_nonzero(at[name][:, :width]) for at in layers for name in ("c_fc", "values")
    )
    n_written = sum(np.count_nonzero(at[name]) for at in layers for name in ("c_proj", "out"))
    assert (len(reads.weights), len(writes.weights)) == (n_read, n_written)
    assert weights.share == pytest.approx(0.2, abs=0.03)
    circuit = np.random.default_rng(seed).random((len(layers), width)) < 0.4
    given = Weights(weights.hidden, weights.values, reads, writes, weights.share)
    ends, found = edges_of(circuit, given)
    named = {
        (a, KINDS[kind], one, b, KINDS[other], two, float(weight))
        for (a, kind, one, b, other, two), weight in zip(ends.tolist(), found, strict=True)
    }
    assert named == wiring_naive.edges(circuit, layers)
    assert len(named) == len(found) > 20


def test_other_families_and_other_sites_have_no_wiring(tmp_path: Path) -> None:
    source = resolve(str(tiny.write(tmp_path / "model")), None)
    loaded = load(source, device="cpu", dtype="float32")
    of_full = block_weights(loaded)
    assert of_full is not None and of_full.share == 1.0
    for site in ("attn_out", "mlp_neurons", "resid_post"):
        assert block_weights(load(source, device="cpu", dtype="float32", site=site)) is None
    assert block_weights(replace(loaded, network=torch.nn.Linear(2, 2))) is None
