from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from atlas_assets.models import kernel_costs as costing
from atlas_assets.models.acceleration import DENSE, accelerate
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
from atlas_assets.models.kernel_costs import KernelCosts, kernel_costs
from atlas_assets.models.loading import load, resolve
from atlas_assets.models.sparse_linear import SparseLinear
from atlas_assets_tests.models import tiny
from tools.train_embedded.untrained import Scales, untrained

PAYS = KernelCosts(dense=1.0, packed=1.0, moved=0.0)
NEVER = KernelCosts(dense=1.0, packed=100.0, moved=100.0)
CPU, SINGLE = torch.device("cpu"), torch.float32


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "atlas_assets"


def sparse_network(**changes: object) -> CircuitGPTForCausalLM:
    """Sparse but for one matrix of each block."""
    model = untrained(tiny.config(**changes), 0, Scales(density=0.1)).requires_grad_(False)
    for block in model.circuit_model.transformer.h:
        block.mlp.c_fc.weight.add_(0.01)
    return model


def packed(network: nn.Module) -> set[str]:
    return {name for name, m in network.named_modules() if isinstance(m, SparseLinear)}


@pytest.mark.parametrize("tied", [False, True])
def test_only_sparse_matrices_are_packed_and_results_stay(tied: bool) -> None:
    dense, fast = (sparse_network(tied_unembed=tied) for _ in range(2))
    kernels = accelerate(fast, costs=PAYS)
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


def test_what_does_not_pay_stays_dense() -> None:
    network = sparse_network()
    assert accelerate(network, costs=NEVER) == DENSE
    assert not packed(network)


def test_the_description_names_the_choice() -> None:
    some = KernelCosts(dense=1.0, packed=5.0, moved=0.0)
    networks = [sparse_network() for _ in range(3)]
    networks[2].circuit_model.lm_head.weight.add_(1.0)
    found = [accelerate(network, costs=some) for network in networks]
    assert found[0] == found[1] != found[2]


def test_an_accelerated_network_saves_as_it_was(tmp_path: Path) -> None:
    network = sparse_network()
    expected = tiny.tensors(network)
    accelerate(network, costs=PAYS)
    network.save_pretrained(tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


# loading -----------------------------------------------------------------------------------------


def write(folder: Path, network: CircuitGPTForCausalLM) -> Path:
    return tiny.write(folder, weights=tiny.tensors(network))


def test_a_loaded_model_names_its_kernels(tmp_path: Path, cache: Path) -> None:
    source = resolve(str(write(tmp_path / "model", sparse_network())), None)
    first, second = load(source), load(source)
    assert first.kernels == second.kernels
    assert (first.kernels == DENSE) == (not packed(first.network))
    assert len(list(cache.iterdir())) == 1
    plain = load(source, sparse_weights=False)
    assert plain.kernels == DENSE
    assert not packed(plain.network)


def test_a_dense_model_is_not_measured_for(tmp_path: Path, cache: Path) -> None:
    model = load(resolve(str(write(tmp_path / "model", tiny.network())), None))
    assert model.kernels == DENSE
    assert not cache.exists()


# costs -------------------------------------------------------------------------------------------


def test_costs_are_measured_once_and_remembered(tmp_path: Path) -> None:
    first = kernel_costs(CPU, SINGLE, tmp_path)
    assert first.dense > 0
    assert first.packed > 0
    (file,) = tmp_path.iterdir()
    known = json.loads(file.read_text())
    file.write_text(json.dumps({**known, "dense": 123.0}))
    assert kernel_costs(CPU, SINGLE, tmp_path).dense == 123.0
    kernel_costs(CPU, torch.float64, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_large_sparse_matrix_pays_on_this_machine(tmp_path: Path) -> None:
    costs = kernel_costs(CPU, SINGLE, tmp_path)
    assert 2 * costs.of_packed(2048, 2048, 2048**2 // 100) < costs.of_dense(2048, 2048)


def test_another_process_may_be_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = costing.measure

    def slowly(device: torch.device, dtype: torch.dtype) -> KernelCosts:
        monkeypatch.setattr(costing, "measure", real)
        kernel_costs(device, dtype, tmp_path)  # the other process
        return NEVER

    monkeypatch.setattr(costing, "measure", slowly)
    assert kernel_costs(CPU, SINGLE, tmp_path) != NEVER


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"dense": "fast"}',
        "null",
        '{"dense": NaN, "packed": 1, "moved": 1}',
        '{"dense": 1, "packed": -1, "moved": 1}',
    ],
)
def test_a_damaged_file_is_measured_anew(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    kernel_costs(CPU, SINGLE, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text(text)
    with caplog.at_level(logging.WARNING, logger="atlas_assets"):
        assert kernel_costs(CPU, SINGLE, tmp_path).dense > 0
    assert "measured anew" in caplog.text


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING, logger="atlas_assets"):
        assert kernel_costs(CPU, SINGLE, tmp_path / "file" / "folder").dense > 0
    assert "every process will measure anew" in caplog.text
