"""The config of a circuitgpt: what is refused, reported or taken by another name."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from atlas_assets.errors import ModelError
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets_tests.models import tiny


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
        ("sinusoidal_cat_pos_emb", None),
        ("bigram_table_rank", 4),
        ("mup_width_multiplier", 1.0),
        ("rtopk", True),
        ("scale_invariance", None),
        ("enable_fp8_linear", 0),
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
    options = {"model_type": "circuitgpt", **tiny.OPTIONS, key: value}
    (tmp_path / "config.json").write_text(json.dumps(options))
    with pytest.raises(ModelError) as caught:
        AutoConfig.from_pretrained(tmp_path)
    assert caught.value.where == key
    wanted = "elsewhere" if value == "mlp_in,elsewhere" else repr(value)
    assert wanted in str(caught.value.found)


def test_what_changes_nothing_is_taken_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    off = ("afrac_ste", "afrac_ste_only_non_neurons", "afrac_approx", "rtopk", "mup")
    given = dict.fromkeys((*off, "enable_fp8_linear", "scale_invariance"), False)
    given |= dict.fromkeys(("unembed_rank", "bigram_table_rank", "mup_width_multiplier"))
    with caplog.at_level(logging.WARNING, logger="atlas_assets"):
        CircuitGPTConfig.from_dict({**tiny.OPTIONS, **given})
    assert not caplog.records
    flagged, plain = tiny.network(sinusoidal_cat_pos_emb=True), tiny.network()
    torch.testing.assert_close(flagged(tiny.ids(1, 5)).logits, plain(tiny.ids(1, 5)).logits)


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
    without = {key: value for key, value in tiny.OPTIONS.items() if key != "d_model"}
    with pytest.raises(ModelError, match="d_model"):
        CircuitGPTConfig.from_dict(without)


def test_the_familys_own_name_of_an_option_wins(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="atlas_assets"):
        config = CircuitGPTConfig.from_dict({**tiny.OPTIONS, "tie_word_embeddings": True})
    assert config.tied_unembed is False
    assert "tie_word_embeddings" in caplog.text
