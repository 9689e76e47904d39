"""A config that does not fit its weights, and weights of whole numbers, are refused by name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel

import atlas_assets as aa
from atlas_assets.errors import ModelError
from atlas_assets_tests.models import tiny

PROMPTS = {"a": ["for x in y: pass"]}


def change(folder: Path, **keys: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))
    return folder


@pytest.fixture(params=["circuitgpt", "gpt2"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A checkpoint that is read, of our own family and of one of transformers'."""
    if request.param == "circuitgpt":
        return tiny.write(tmp_path / "model")
    config = GPT2Config(n_layer=2, n_head=2, n_embd=16, vocab_size=257, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "model")
    tiny.byte_tokenizer().save(str(tmp_path / "model" / "tokenizer.json"))
    return tmp_path / "model"


@pytest.mark.parametrize("number", [10**12, 10**5])
def test_more_layers_than_the_weights_have_tensors(folder: Path, number: int) -> None:
    with pytest.raises(ModelError, match="asks for a larger network") as refused:
        aa.read(str(change(folder, n_layer=number)), prompts=PROMPTS)
    assert str(refused.value.where).endswith("config.json: n_layer")
    assert refused.value.found == f"{number:,}"


def test_a_far_larger_network_is_refused_before_it_is_built(folder: Path) -> None:
    with pytest.raises(ModelError, match="asks for a larger network") as refused:
        aa.read(str(change(folder, vocab_size=10**12)), prompts=PROMPTS)
    assert "numbers, as the weights hold" in str(refused.value.expected)


def test_a_checkpoint_under_another_familys_name(folder: Path) -> None:
    with pytest.raises(ModelError, match="asks for a larger network"):
        aa.read(str(change(folder, model_type="llama", num_hidden_layers=2)), prompts=PROMPTS)


def test_weights_of_whole_numbers(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if "mlp" in name and name.endswith("weight"))
    weights[name] = weights[name].to(torch.int64)
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="no real numbers") as refused:
        aa.read(str(folder), prompts=PROMPTS)
    assert name in str(refused.value.where)
    assert refused.value.found == "I64"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "generation_config.json"])
def test_a_pipe_in_a_models_folder(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match="no file") as refused:
        aa.read(str(folder), prompts=PROMPTS)
    assert str(refused.value.where).endswith(name)
