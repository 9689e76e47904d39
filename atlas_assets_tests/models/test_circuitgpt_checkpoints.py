from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from atlas_assets.errors import ModelError
from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM, CircuitGPTModel
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
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
    for source in (
        written,
        read(tiny.write(tmp_path / "a", {**tiny.OPTIONS, **changes}, expected)),
    ):
        source.save_pretrained(tmp_path / "b")
        found = load_file(tmp_path / "b" / "model.safetensors")
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        again = read(tmp_path / "b")
        options = again.config.to_dict()
        assert {key: options[key] for key in tiny.OPTIONS} == {**tiny.OPTIONS, **changes}
        assert torch.equal(again(tiny.ids(1, 5)).logits, written(tiny.ids(1, 5)).logits)


def test_the_tensor_names_are_the_published_ones(shared: Path) -> None:
    for name in ("full_11", "plain_11"):
        folder = shared / "golden" / "model" / name
        config = AutoConfig.from_pretrained(folder)
        assert type(config) is CircuitGPTConfig
        found = {key: t.shape for key, t in tiny.tensors(CircuitGPTForCausalLM(config)).items()}
        published = load_file(folder / "model.safetensors")
        assert found == {key: t.shape for key, t in published.items()}


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


def test_loading_info_is_given_when_asked_for(tmp_path: Path) -> None:
    model, info = AutoModelForCausalLM.from_pretrained(
        tiny.write(tmp_path), output_loading_info=True
    )
    assert isinstance(model, CircuitGPTForCausalLM)
    assert not info["missing_keys"]


def test_remote_code_is_left_alone(tmp_path: Path) -> None:
    auto_map = {
        "AutoConfig": "remote.Config",
        "AutoModelForCausalLM": "remote.Model",
    }
    folder = tiny.write(tmp_path, {**tiny.OPTIONS, "auto_map": auto_map})
    (folder / "remote.py").write_text("raise SystemExit('this must never run')\n")
    assert read(folder).config.n_layer == 2
    assert read(folder, trust_remote_code=True).config.n_layer == 2


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
        "transformer.ln_f.weight",
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


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    weights = tiny.tensors(tiny.network())
    name = "transformer.h.0.mlp.c_fc.weight"
    weights[tiny.PREFIX + name] = torch.zeros(24, 16)
    error = refused(tiny.write(tmp_path, weights=weights))
    assert name in error.what
    assert "[24, 20]" in str(error.expected)
    assert "[24, 16]" in str(error.found)


def test_many_wrong_shapes_are_counted(tmp_path: Path) -> None:
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


# config.json -------------------------------------------------------------------------------------


def test_unknown_keys_are_reported_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = {"unembed_rank": None, "dropout": 0.1, "flash": True, "tokenizer_name": "x"}
    options = {**tiny.OPTIONS, **known, "colour": "blue", "another": 1}
    with caplog.at_level(logging.WARNING, logger="atlas_assets"):
        config = AutoConfig.from_pretrained(tiny.write(tmp_path, options))
    (record,) = caplog.records
    assert record.getMessage().endswith("no effect: another, colour")
    assert config.colour == "blue"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("unembed_rank", 64),
        ("activation_type", "silu"),
        ("residual_activation_type", "gelu"),
        ("sinusoidal_cat_pos_emb", True),
        ("afrac", 0.0),
        ("afrac", 1.5),
        ("afrac", "quarter"),
        ("afrac_loctypes", "mlp_in,elsewhere"),
        ("afrac_loctypes", None),
        ("n_layer", 0),
        ("n_layer", "8"),
        ("d_model", None),
        ("d_head", 0),
        ("d_pos_emb", -1),
        ("sink", "yes"),
        ("bias", 1),
        ("loss_threshold", 0),
        ("n_mlp", 25),
    ],
)
def test_an_unsupported_option_is_named(tmp_path: Path, key: str, value: Any) -> None:
    folder = tiny.write(tmp_path, {**tiny.OPTIONS, key: value})
    with pytest.raises(ModelError) as caught:
        AutoModelForCausalLM.from_pretrained(folder)
    assert caught.value.where == key
    wanted = "elsewhere" if value == "mlp_in,elsewhere" else repr(value)
    assert wanted in str(caught.value.found)


def test_a_config_without_sizes_is_refused(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path)
    options = {key: value for key, value in tiny.OPTIONS.items() if key != "d_model"}
    (folder / "config.json").write_text(json.dumps({"model_type": "circuitgpt", **options}))
    with pytest.raises(ModelError, match="d_model"):
        AutoConfig.from_pretrained(folder)


def test_a_default_that_no_tensor_reveals_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    sizes = {key: tiny.OPTIONS[key] for key in ("block_size", "vocab_size", "n_layer", "n_head")}
    with caplog.at_level(logging.WARNING, logger="atlas_assets"):
        CircuitGPTConfig.from_dict({**sizes, "d_model": 8})
    named = " ".join(record.getMessage() for record in caplog.records)
    assert all(key in named for key in ("afrac", "activation_type", "residual_activation_type"))


def test_sizes_have_the_familys_defaults_and_older_names() -> None:
    config = CircuitGPTConfig(d_model=12, n_head=3)
    assert (config.d_head, config.d_mlp) == (4, 48)
    assert CircuitGPTConfig(d_model=12, n_head=3, n_mlp=20).d_mlp == 20
    assert CircuitGPTConfig(hidden_size=12, num_attention_heads=3).d_head == 4
    with pytest.raises(ModelError, match="n_head"):
        CircuitGPTConfig(d_model=13, n_head=3)


def test_the_familys_own_name_of_an_option_wins(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="atlas_assets"):
        config = CircuitGPTConfig.from_dict({**tiny.OPTIONS, "tie_word_embeddings": True})
    assert config.tied_unembed is False
    assert "tie_word_embeddings" in caplog.text
