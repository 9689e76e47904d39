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
from tools.untrained import Scales, untrained

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


MOST = int(MOST_DENSE * LEAST_ENTRIES)


@pytest.mark.parametrize(
    ("weight", "fits"),
    [
        (matrix(256, 256, MOST), True),
        (matrix(256, 256, 0), True),
        (matrix(1, LEAST_ENTRIES, MOST), True),
        (matrix(256, 256, MOST + 1), False),
        (matrix(255, 257, 0), False),
        (matrix(256, 256, 10).half(), True),
        (matrix(256, 256, 10).bfloat16(), False),
        (matrix(256, 256, 10).double(), False),
        (matrix(256, 256, 10).to("meta"), False),
    ],
)
def test_what_is_packed(weight: torch.Tensor, fits: bool) -> None:
    assert is_packed(weight) is fits


@pytest.mark.parametrize("tied", [False, True])
def test_only_sparse_matrices_are_packed_and_results_and_files_stay(
    tmp_path: Path, tied: bool
) -> None:
    dense, fast = (sparse_network(tied_unembed=tied, bias=not tied) for _ in range(2))
    expected_tensors = tiny.tensors(dense)
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
    fast.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    # a packed head is a matrix of its own, tied or not
    assert saved.keys() == expected_tensors.keys() | {f"{tiny.PREFIX}lm_head.weight"}
    assert all(torch.equal(saved[name], expected_tensors[name]) for name in expected_tensors)


def test_the_description_names_the_choice_and_small_matrices_stay_dense() -> None:
    networks = [sparse_network() for _ in range(3)]
    networks[2].circuit_model.lm_head.weight.add_(1.0)
    found = [accelerate(network) for network in networks]
    assert found[0] == found[1] != found[2]
    network = untrained(tiny.config(), 0, Scales(density=0.1))
    assert accelerate(network) == DENSE
    assert not packed(network)


def test_a_loaded_model_names_its_kernels(tmp_path: Path) -> None:
    weights = tiny.tensors(sparse_network())
    source = resolve(str(tiny.write(tmp_path / "model", {**tiny.OPTIONS, **LARGE}, weights)), None)
    first, second = load(source), load(source)
    assert first.kernels == second.kernels != DENSE
    assert packed(first.network) == packed(second.network) != set()
    plain = load(source, sparse_weights=False)
    assert plain.kernels == DENSE
    assert not packed(plain.network)
