from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM

from atlas_assets.errors import ModelError
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM, CircuitGPTModel
from atlas_assets_tests.models import tiny

PLAIN: dict[str, Any] = {"tied_unembed": True, "enable_bigram_table": False}


def read(folder: Path, **options: Any) -> CircuitGPTForCausalLM:
    model = AutoModelForCausalLM.from_pretrained(folder, **options)
    assert type(model) is CircuitGPTForCausalLM
    assert not model.training
    return model


@pytest.mark.parametrize("prefix", [True, False], ids=["prefix", "no prefix"])
@pytest.mark.parametrize("changes", [{}, PLAIN], ids=["untied", "tied"])
def test_loads_what_was_written(tmp_path: Path, changes: dict[str, Any], prefix: bool) -> None:
    written = tiny.network(**changes)
    options = {**tiny.OPTIONS, **changes}
    model = read(tiny.write(tmp_path, options, tiny.tensors(written, prefix=prefix)))
    for name, tensor in written.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    assert model.config.tied_unembed is changes.get("tied_unembed", False)
    head = model.circuit_model.lm_head.weight
    assert (head is model.circuit_model.transformer.wte.weight) is model.config.tied_unembed


@pytest.mark.parametrize("changes", [{}, PLAIN], ids=["untied", "tied"])
def test_a_saved_model_has_the_hubs_names_and_loads_again(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    written = tiny.network(**changes)
    expected = tiny.tensors(written)
    options = {**tiny.OPTIONS, **changes}
    for source in (written, read(tiny.write(tmp_path / "a", options, expected))):
        source.save_pretrained(tmp_path / "b")
        found = load_file(tmp_path / "b" / "model.safetensors")
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        again = read(tmp_path / "b")
        assert again.config.to_dict().items() >= options.items()
        assert torch.equal(again(tiny.ids(1, 5)).logits, written(tiny.ids(1, 5)).logits)


def test_the_base_model_loads_alone(tmp_path: Path) -> None:
    written = tiny.network()
    model = AutoModel.from_pretrained(tiny.write(tmp_path, weights=tiny.tensors(written)))
    assert type(model) is CircuitGPTModel
    ids = tiny.ids(1, 5)
    expected = written.base_model(ids).last_hidden_state
    assert torch.equal(model(ids).last_hidden_state, expected)


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_the_dtype_is_the_configs_unless_asked_for(tmp_path: Path, key: str) -> None:
    weights = {name: t.half() for name, t in tiny.tensors(tiny.network()).items()}
    folder = tiny.write(tmp_path, {**tiny.OPTIONS, key: "float16"}, weights)
    assert read(folder).dtype == torch.float16
    assert read(folder, dtype=torch.float32).dtype == torch.float32


# what does not fit -------------------------------------------------------------------------------


def refused(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        AutoModelForCausalLM.from_pretrained(folder)
    assert str(folder) in str(caught.value.where)
    return caught.value


@pytest.mark.parametrize("prefix", [True, False], ids=["prefix", "no prefix"])
@pytest.mark.parametrize(
    "name",
    [
        "transformer.h.1.mlp.c_proj.bias",
        "transformer.h.0.attn.attn_imp.sink_logit",
        "lm_head.weight",
        "final_logits_bias",
        "bigram_table",
    ],
)
def test_a_missing_tensor_is_named(tmp_path: Path, name: str, prefix: bool) -> None:
    weights = tiny.tensors(tiny.network(), prefix=prefix)
    del weights[tiny.PREFIX * prefix + name]
    error = refused(tiny.write(tmp_path, weights=weights))
    assert "missing" in error.what
    assert name in str(error.found)


@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        ({}, "transformer.h.2.ln_1.weight"),
        ({}, "lm_head.bias"),
        ({"enable_bigram_table": False}, "bigram_table"),
        ({"sink": False}, "transformer.h.0.attn.attn_imp.sink_logit"),
    ],
)
def test_an_extra_tensor_is_named(tmp_path: Path, changes: dict[str, Any], extra: str) -> None:
    weights = tiny.tensors(tiny.network(**changes))
    weights[tiny.PREFIX + extra] = torch.zeros(2)
    error = refused(tiny.write(tmp_path, {**tiny.OPTIONS, **changes}, weights))
    assert "extra" in error.what
    assert extra in str(error.found)


def test_wrong_shapes_are_named(tmp_path: Path) -> None:
    weights = tiny.tensors(tiny.network())
    name = "transformer.h.0.mlp.c_fc.weight"
    weights[tiny.PREFIX + name] = torch.zeros(24, 16)
    error = refused(tiny.write(tmp_path, weights=weights))
    assert name in error.what
    assert "[24, 20]" in str(error.expected)
    assert "[24, 16]" in str(error.found)
    error = refused(tiny.write(tmp_path, {**tiny.OPTIONS, "d_mlp": 30}))
    assert "more tensors" in str(error.expected)


def test_a_second_matrix_for_a_tied_head_is_refused(tmp_path: Path) -> None:
    weights = tiny.tensors(tiny.network(**PLAIN))
    embedding = weights[f"{tiny.PREFIX}transformer.wte.weight"]
    weights[f"{tiny.PREFIX}lm_head.weight"] = embedding.clone()
    options = {**tiny.OPTIONS, **PLAIN}
    assert read(tiny.write(tmp_path / "equal", options, weights)).config.tied_unembed
    weights[f"{tiny.PREFIX}lm_head.weight"] = embedding + 1
    error = refused(tiny.write(tmp_path / "other", options, weights))
    assert "tied_unembed" in str(error.expected)
