"""The checkpoint that ships with the package."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import atlas_assets.models.circuitgpt  # noqa: F401 - registers the family with transformers
from atlas_assets.extraction.extraction import extract
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.models.checkpoint_files import CheckpointTokenizer
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.loading import default_loss_threshold, identify, load, resolve
from atlas_assets.progress import Progress
from atlas_assets.stages.activations.activations import units_of_object_prompts
from atlas_assets.stages.masks.masks import sweep_masks
from atlas_assets.stages.prompts import object_prompts
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.setting import PUBLISHED_CONSISTENCIES, PUBLISHED_EPSILONS, grid
from tools.train_embedded.__main__ import EMBEDDED as HERE
from tools.train_embedded.__main__ import everything
from tools.train_embedded.material import SPLIT_PATTERN
from tools.train_embedded.recipe import embedded_recipe
from tools.train_embedded.results import card, densities, judge

AST_NODES = ("For", "If", "Pass", "Return")
BUILTINS = ("len", "list", "print", "_isolated_")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load(resolve("embedded", None))


@pytest.fixture(scope="module")
def candidates() -> pl.DataFrame:
    return object_prompts.generate(load_stimuli(), ast_nodes=AST_NODES, builtins=BUILTINS)


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((HERE / "training.json").read_text())
    return read


def test_the_folder_is_small_and_in_the_hubs_format() -> None:
    files = {path.name: path.stat().st_size for path in HERE.iterdir()}
    assert sum(files.values()) <= 5_000_000
    assert files.keys() == {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    }


def test_it_is_what_the_recipe_says(model: LoadedModel) -> None:
    config = json.loads((HERE / "config.json").read_text())
    assert {key: config[key] for key in embedded_recipe().options} == embedded_recipe().options
    assert (model.n_layers, model.width) == (4, 192)
    assert model.max_positions >= 512
    assert identify(resolve("embedded", None)).model_id == "embedded"


def test_transformers_loads_it_as_it_is() -> None:
    assert AutoModelForCausalLM.from_pretrained(HERE).dtype == torch.float16
    tokenizer, own = AutoTokenizer.from_pretrained(HERE), CheckpointTokenizer(HERE, {})
    for text in ("\ttabs\r\n", "ünïcode ≠ ascii", "x = 1234567", "<|endoftext|>", "a  b\n\n\nc"):
        ids = own.encode(text)
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids
        assert own.decode(ids) == text
    assert tokenizer.eos_token_id == own.pad_id == 2047
    assert own.vocab_size == 2048
    stored = json.loads((HERE / "tokenizer.json").read_text())
    splits = stored["pre_tokenizer"]["pretokenizers"]
    assert splits[0]["pattern"] == {"Regex": SPLIT_PATTERN}


def test_matrices_and_readouts_are_sparse(model: LoadedModel, record: dict[str, Any]) -> None:
    target = record["recipe"]["density"]
    for name, tensor in model.network.state_dict().items():
        if tensor.ndim == 2:  # half precision may round the smallest of those kept to zero
            assert 0.9 * target < tensor.count_nonzero() / tensor.numel() <= target + 1e-3, name
    readouts = last_token_readouts(model, ["print(1)", "for x in y:\n    pass"])
    assert (np.count_nonzero(readouts, axis=-1) <= 192 // 4).all()


def last_token_readouts(model: LoadedModel, texts: list[str]) -> np.ndarray:
    """``[texts, layers, width]``, one prompt at a time."""
    rows: list[list[np.ndarray]] = []
    hooks = [
        mlp.register_forward_hook(lambda _m, _i, out: rows[-1].append(out[0, -1].numpy()))
        for mlp in model.points
    ]
    with torch.inference_mode():
        for text in texts:
            rows.append([])
            model.base(input_ids=torch.tensor([model.tokenizer.encode(text)]))
    for hook in hooks:
        hook.remove()
    return np.array(rows)


def test_masks_are_neither_full_nor_all_empty_at_any_published_setting(
    model: LoadedModel, candidates: pl.DataFrame
) -> None:
    units = units_of_object_prompts(candidates)
    assert len(units) >= 5
    shards = ShardStore(None, "0123456789abcdef")
    found = extract(model, units, shards=shards, progress=Progress("reading"))
    sizes = []
    for setting, masks in sweep_masks(found, grid(PUBLISHED_EPSILONS, PUBLISHED_CONSISTENCIES)):
        shares = masks.bits.mean(-1)
        assert (shares < 0.75).all(), setting
        assert shares.mean() > 0.005, setting  # ε = 0.1 is above all that layer 1 writes
        sizes.append(masks.bits.sum())
    assert sizes[0] > sizes[4] > sizes[8]  # the settings tell something


def test_readouts_depend_on_more_than_the_last_token(
    model: LoadedModel, candidates: pl.DataFrame
) -> None:
    texts = candidates["prompt_text"].unique(maintain_order=True).to_list()[:40]
    readouts = last_token_readouts(model, texts)
    for layer in range(model.n_layers):
        assert len(np.unique(readouts[:, layer], axis=0)) == len(texts)


def test_every_published_prompt_fits(shared: Path) -> None:
    folder = shared / "golden" / "prompts"
    tokenizer = CheckpointTokenizer(HERE, {})
    longest = 0
    for name in ("object_candidates", "checker", "token_checker"):
        texts = pl.read_parquet(folder / f"{name}.parquet")["prompt_text"].unique()
        longest = max(longest, *map(len, tokenizer.encode_all(texts.to_list())))
    assert longest <= embedded_recipe().options["block_size"]
    assert f"the longest published prompt has {longest}" in (HERE / "README.md").read_text()


def test_the_record_is_of_these_files(model: LoadedModel, record: dict[str, Any]) -> None:
    for name, digest in record["sha256"].items():
        assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == digest, name
    assert model.identity.weights_sha256 == record["sha256"]["model.safetensors"]
    assert densities(model) == record["matrices"]
    assert (HERE / "README.md").read_text() == card(record)


def test_the_record_says_what_was_run_and_measured(record: dict[str, Any]) -> None:
    assert record["recipe"] == asdict(embedded_recipe())
    assert record["run"]["steps"] == embedded_recipe().steps == record["curve"][-1]["step"]
    assert record["run"]["tokens"] == embedded_recipe().steps * embedded_recipe().batch_tokens
    losses = record["losses"]
    held_out = losses["held_out"]["library"]
    assert held_out < losses["bigram"]["loss"] - 0.5
    assert losses["bigram"]["loss"] < losses["uniform"] == pytest.approx(np.log(2048))
    assert held_out == pytest.approx(record["curve"][-1]["held_out_loss"], abs=0.2)
    prompts = record["object_prompts"]  # every pair passes the model's own threshold
    assert prompts["prompts"] == 64_850
    threshold = default_loss_threshold(resolve("embedded", None))
    assert threshold == prompts["threshold"] > prompts["highest_pair"]


@pytest.mark.slow
def test_the_losses_are_measured_again(model: LoadedModel, record: dict[str, Any]) -> None:
    material, _ = everything(embedded_recipe())
    if material.manifest["sha256"] != record["corpus"]["sha256"]:
        pytest.skip("needs the packages of training.json and its version of Python")
    measured = judge(model, material)
    assert measured["tokens"] == record["losses"]["tokens"]
    assert measured["held_out"] == pytest.approx(record["losses"]["held_out"], abs=1e-3)
    assert measured["bigram"] == pytest.approx(record["losses"]["bigram"], rel=1e-9)
