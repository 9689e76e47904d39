from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from atlas_assets.models.acceleration import (
    DENSE,
    LEAST_ENTRIES,
    MOST_DENSE,
    accelerate,
    is_packed,
)
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.loading import load, resolve
from atlas_assets.models.sparse_linear import SparseLinear
from atlas_assets_tests.models import tiny
from tools.train_embedded.untrained import Scales, untrained

#: every matrix of a block, and the unembedding, has at least as many entries as a packed one
LARGE = {"d_model": 256, "d_head": 128, "d_mlp": 256, "vocab_size": 257}


def sparse_network(**changes: object) -> CircuitGPTForCausalLM:
    """Large and sparse but for one dense matrix of each block."""
    config = tiny.config(**{**LARGE, **changes})
    model = untrained(config, 0, Scales(density=0.05)).requires_grad_(False)
    for block in model.circuit_model.transformer.h:
        block.mlp.c_fc.weight.add_(0.01)
    return model


def packed(network: nn.Module) -> set[str]:
    return {name for name, m in network.named_modules() if isinstance(m, SparseLinear)}


def matrix(rows: int, columns: int, stored: int) -> torch.Tensor:
    weight = torch.zeros(rows * columns)
    weight[:stored] = 1.0
    return weight.view(rows, columns)


def test_the_rule_at_its_edges() -> None:
    most = int(MOST_DENSE * LEAST_ENTRIES)
    assert LEAST_ENTRIES == 256 * 256
    assert is_packed(matrix(256, 256, most))
    assert is_packed(matrix(256, 256, 0))
    assert is_packed(matrix(1, LEAST_ENTRIES, most))
    assert not is_packed(matrix(256, 256, most + 1))
    assert not is_packed(matrix(255, 257, 0))


def test_half_and_single_precision_on_a_cpu_are_packed_and_nothing_else() -> None:
    sparse = matrix(256, 256, 10)
    assert is_packed(sparse.half())
    assert not is_packed(sparse.bfloat16())
    assert not is_packed(sparse.double())
    assert not is_packed(sparse.to("meta"))


@pytest.mark.parametrize("tied", [False, True])
def test_only_sparse_matrices_are_packed_and_results_stay(tied: bool) -> None:
    dense, fast = (sparse_network(tied_unembed=tied) for _ in range(2))
    kernels = accelerate(fast)
    blocks = [f"circuit_model.transformer.h.{layer}" for layer in range(2)]
    assert packed(fast) == {"circuit_model.lm_head"} | {
        f"{block}.{name}"
        for block in blocks
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_proj")
    }
    assert kernels.startswith("packed-1: 7 of 9 matrices, ")
    ids = tiny.ids(3, 11)
    for found, expected in zip(tiny.readouts(fast, ids), tiny.readouts(dense, ids), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_small_matrices_stay_dense() -> None:
    network = untrained(tiny.config(), 0, Scales(density=0.1))
    assert accelerate(network) == DENSE
    assert not packed(network)


def test_the_description_names_the_choice() -> None:
    networks = [sparse_network() for _ in range(3)]
    networks[2].circuit_model.lm_head.weight.add_(1.0)
    found = [accelerate(network) for network in networks]
    assert found[0] == found[1] != found[2]


def test_an_accelerated_network_saves_as_it_was(tmp_path: Path) -> None:
    network = sparse_network()
    expected = tiny.tensors(network)
    accelerate(network)
    network.save_pretrained(tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_loaded_model_names_its_kernels(tmp_path: Path) -> None:
    weights = tiny.tensors(sparse_network())
    source = resolve(str(tiny.write(tmp_path / "model", {**tiny.OPTIONS, **LARGE}, weights)), None)
    first, second = load(source), load(source)
    assert first.kernels == second.kernels != DENSE
    assert packed(first.network) == packed(second.network) != set()
    plain = load(source, sparse_weights=False)
    assert plain.kernels == DENSE
    assert not packed(plain.network)
