"""A circuitgpt's folder read without transformers' classes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from atlas_assets.models.circuitgpt_files import read_plain
from atlas_assets_tests.models import tiny

TIED: dict[str, Any] = {"tied_unembed": True, "enable_bigram_table": False}


@pytest.mark.parametrize("prefix", [True, False], ids=["prefix", "no prefix"])
@pytest.mark.parametrize("changes", [{}, TIED], ids=["untied", "tied"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_reads_what_transformers_reads(
    tmp_path: Path, changes: dict[str, Any], prefix: bool, dtype: torch.dtype
) -> None:
    weights = tiny.tensors(tiny.network(**changes), prefix=prefix)
    folder = tiny.write(tmp_path, {**tiny.OPTIONS, **changes}, weights)
    found, expected = read_plain(folder, dtype), AutoModelForCausalLM.from_pretrained(folder)
    assert found is not None
    expected = expected.to(dtype)
    assert [name for name, _ in found.named_modules()] == [n for n, _ in expected.named_modules()]
    mine, other = found.state_dict(), expected.state_dict()
    assert mine.keys() == other.keys()
    assert all(torch.equal(mine[name], other[name]) for name in other)
    head = found.circuit_model.lm_head.weight
    assert (head is found.get_input_embeddings().weight) is changes.get("tied_unembed", False)
    ids = tiny.ids(2, 7)
    assert torch.equal(found(ids).logits, expected(ids).logits)
    assert found.config.to_dict().items() >= (tiny.OPTIONS | changes).items()


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "integers", "twice", "damaged"])
def test_leaves_what_does_not_fit_to_transformers(tmp_path: Path, change: str) -> None:
    weights = tiny.tensors(tiny.network())
    name = f"{tiny.PREFIX}final_logits_bias"
    if change == "missing":
        del weights[name]
    elif change == "extra":
        weights["another"] = torch.zeros(1)
    elif change == "shape":
        weights[name] = weights[name][1:].clone()
    elif change == "integers":
        weights[name] = weights[name].int()
    elif change == "twice":
        weights["final_logits_bias"] = weights[name].clone()
    folder = tiny.write(tmp_path, weights=weights)
    if change == "damaged":
        (folder / "model.safetensors").write_bytes(b"\0" * 100)
    assert read_plain(folder, torch.float32) is None


def test_a_second_matrix_for_a_tied_head_is_left_to_transformers(tmp_path: Path) -> None:
    weights = tiny.tensors(tiny.network(**TIED))
    embedding = weights[f"{tiny.PREFIX}transformer.wte.weight"]
    options = {**tiny.OPTIONS, **TIED}
    weights[f"{tiny.PREFIX}lm_head.weight"] = embedding.clone()
    assert read_plain(tiny.write(tmp_path / "equal", options, weights), torch.float32) is not None
    weights[f"{tiny.PREFIX}lm_head.weight"] = embedding + 1
    assert read_plain(tiny.write(tmp_path / "other", options, weights), torch.float32) is None


def test_loading_imports_neither_transformers_models_nor_torchs_compiler() -> None:
    code = (
        "import sys; from atlas_assets.models.loading import load, resolve; "
        "load(resolve('embedded', None)); "
        "print(*{'transformers.modeling_utils', 'torch._dynamo', 'sympy'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.strip() == ""
