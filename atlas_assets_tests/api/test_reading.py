"""Reading a model from Python: in memory, from a folder, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import atlas_assets as aa
from atlas_assets.errors import ArtifactError, ModelError, SettingsError, StimulusError
from atlas_assets_tests.extraction.tiny_models import UNITS, WIDTH
from atlas_assets_tests.models.tiny import END_OF_TEXT, VOCABULARY, byte_tokenizer
from atlas_assets_tests.storage.defects import refusing
from atlas_assets_tests.storage.samples import activations

PROMPTS = {"mine": UNITS["For__list"], "yours": UNITS["While__len"]}


@pytest.fixture(scope="module")
def network() -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=2, n_head=2, n_positions=64)
    return GPT2LMHeadModel(config)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(tokenizer_object=byte_tokenizer(), eos_token=END_OF_TEXT)


def by_hand(network: Any, tokenizer: Any, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of one unit, each prompt alone."""
    import torch

    kept: list[np.ndarray] = []
    hooks = [
        block.mlp.register_forward_hook(lambda _m, _i, out: kept.append(out[0, -1].numpy()))
        for block in network.transformer.h
    ]
    with torch.no_grad():
        for text in texts:
            network(torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]]))
    for hook in hooks:
        hook.remove()
    strength = np.abs(np.array(kept).reshape(len(texts), len(hooks), -1))
    return strength.sum(axis=0), (strength > 0).sum(axis=0)


@pytest.mark.parametrize("lacking", ["weights", "numbers"])
def test_a_model_of_which_nothing_can_be_told_is_refused_by_its_cause(
    network: Any, tokenizer: Any, lacking: str
) -> None:
    import copy

    import torch

    broken = copy.deepcopy(network)
    if lacking == "weights":
        broken = broken.to("meta")
        told = ("the model has no weights", "device meta", "from_pretrained")
    else:
        with torch.no_grad():
            broken.transformer.h[0].mlp.c_fc.weight[0, 0] = torch.nan
        told = ("logits that are no numbers", "nan", "dtype=float32")
    with refusing(ModelError, "GPT2LMHeadModel", *told):
        aa.read(broken, tokenizer, prompts=PROMPTS)


def test_a_model_in_memory_is_read_as_it_is_and_left_as_it_was(
    network: Any, tokenizer: Any
) -> None:
    network.train()
    network.transformer.h[0].eval()
    readings = aa.read(network, tokenizer, PROMPTS)
    assert network.training
    assert not network.transformer.h[0].training
    network.eval()
    assert readings.names == ("mine", "yours")
    assert readings.n_prompts.tolist() == [len(PROMPTS["mine"]), len(PROMPTS["yours"])]
    assert (readings.sums.dtype, readings.counts.dtype) == (np.float32, np.int32)
    for unit, texts in enumerate(PROMPTS.values()):
        sums, counts = by_hand(network, tokenizer, texts)
        np.testing.assert_allclose(readings.sums[unit], sums, rtol=1e-5)
        np.testing.assert_array_equal(readings.counts[unit], counts)


def test_another_site_of_a_model_in_memory_is_read_and_nothing_is_left_on_it(
    network: Any, tokenizer: Any
) -> None:
    texts = PROMPTS["yours"]
    seen: list[np.ndarray] = []
    before = aa.read(network, tokenizer, PROMPTS)
    readings = aa.read(network, tokenizer, {"yours": texts}, site="mlp_neurons")
    hooks = [
        block.mlp.c_proj.register_forward_pre_hook(lambda _m, given: seen.append(given[0][0, -1]))
        for block in network.transformer.h
    ]
    for text in texts:
        network(**tokenizer(text, return_tensors="pt"))
    for hook in hooks:
        hook.remove()
    neurons = np.abs([row.detach().numpy() for row in seen]).reshape(len(texts), 2, 4 * WIDTH)
    np.testing.assert_allclose(readings.sums[0], neurons.sum(axis=0), rtol=1e-5)
    np.testing.assert_array_equal(aa.read(network, tokenizer, PROMPTS).sums, before.sums)


def test_circuitgpt_in_memory_is_left_as_it_was(tokenizer: Any) -> None:
    from atlas_assets_tests.extraction.tiny_models import circuitgpt

    network: Any = circuitgpt(block_size=64).network
    mlps = [block.mlp for block in network.circuit_model.transformer.h]
    assert aa.read(network, tokenizer, PROMPTS, site="mlp_neurons").width == 4 * WIDTH
    assert all(mlp.in_pieces for mlp in mlps)


@pytest.mark.parametrize("position", ["last_token", "published"])
def test_a_folder_gives_the_same_bits_as_the_model_in_memory(
    network: Any, tokenizer: Any, tmp_path: Path, position: Any
) -> None:
    network.eval()
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    of_folder = aa.read(tmp_path, prompts=PROMPTS, position=position, device="cpu")
    assert of_folder.digest() == aa.read(network, tokenizer, PROMPTS, position=position).digest()


def test_masks_follow_the_rule_of_stage_13(network: Any, tokenizer: Any) -> None:
    readings = aa.read(network, tokenizer, PROMPTS)
    epsilon = float(np.median(readings.sums / readings.n_prompts[:, None, None]))
    found = aa.masks(readings, epsilon, 0.8)
    n = readings.n_prompts[:, None, None].astype(np.float32)
    strong = readings.sums / n > np.float32(epsilon)
    consistent = readings.counts.astype(np.float32) / n >= np.float32(0.8)
    assert found.names == readings.names
    np.testing.assert_array_equal(found.bits, strong & consistent)
    assert 0 < found.bits.mean() < 1
    with pytest.raises(SettingsError, match="consistency"):
        aa.masks(readings, consistency=1.5)
    with pytest.raises(SettingsError, match="these are no readings"):
        aa.masks(None)  # type: ignore[arg-type]
    for name in ("x", "mime", 3):
        with refusing(ArtifactError, "2 units", "mine", "what to do: name one of these"):
            found.neurons(name)  # type: ignore[arg-type]
    with refusing(ArtifactError, "layer 2", "a layer from 0 to 1", "what to do: name one of these"):
        found.of_layer(2)
    with refusing(ArtifactError, "where: hers", "of 2", "what to do: name some of these"):
        readings.select(("hers", "mine"))
    assert readings.select(("yours", "mine")) is not readings
    assert readings.select(("yours", "mine")).digest() == readings.digest()
    with refusing(StimulusError, "not the name of a concept", "rename the unit, or take it out"):
        found.of_kind("ast")


def test_what_cannot_be_read_is_refused_in_words(network: Any, tokenizer: Any) -> None:
    with refusing(StimulusError, "unit → its prompts"):
        aa.read(network, tokenizer, {"mine": "for x in y: pass"})
    for wrong in ({"a": [3]}, {3: ["x"]}, {"a": None}, {"a": b"xy"}, [("a", ["x"])]):
        with refusing(StimulusError, "where: prompts", repr(wrong)):
            aa.read(network, tokenizer, wrong)  # type: ignore[arg-type]
    for halves in ({"mine": ["x", "\ud800"]}, {"\ud800": ["x"]}):
        with refusing(StimulusError, "is no text", "UTF-8"):
            aa.read("embedded", prompts=halves)
    for none, where in (({}, "where: prompts\n"), ({"mine": []}, "prompts, unit mine")):
        with refusing(StimulusError, "no prompts to read", where, "what to do: give"):
            aa.read(network, tokenizer, none)  # type: ignore[arg-type]
    for empty in ("", "  "):  # to the system the first is the current folder
        with refusing(ModelError, "no model is named", "where: model", "an empty name"):
            aa.read(empty, prompts=PROMPTS)
    with refusing(ModelError, "no tokenizer", "NoneType"):
        aa.read(network, None, PROMPTS)
    with refusing(ModelError, "no model", "int"):
        aa.read(3, tokenizer, PROMPTS)  # type: ignore[arg-type]
    with refusing(ModelError, "lies beside its weights"):
        aa.read("embedded", tokenizer, PROMPTS)
    with refusing(ModelError, "does not belong to the model", f"below {VOCABULARY}", "id 257"):
        tokenizer.add_tokens(["pass"])
        aa.read(network, tokenizer, {"mine": ["for x in y: pass"]})


@pytest.mark.parametrize("wrong", [{"position": "Published"}, {"position": 9}, {"site": "mlp"}])
def test_a_position_or_site_that_there_is_not_is_refused(wrong: Any) -> None:
    with pytest.raises(SettingsError, match="there is no such") as caught:
        aa.read("embedded", prompts={"a": ["x"]}, **wrong)
    assert "what to do" in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("batch_tokens", value) for value in (0, -5, 2.5, "8")),
        *(("device", value) for value in ("tpu9", 3.5)),
        *(("dtype", value) for value in ("float8", 3)),
        ("bos", "x"),
        ("epsilon", "x"),
        ("consistency", None),
    ],
)
def test_an_argument_is_named_and_not_the_variable_of_a_setting(argument: str, value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        if argument in ("epsilon", "consistency"):
            aa.masks(activations(), **{argument: value})
        else:
            aa.read("embedded", prompts={"a": ["x"]}, **{argument: value})
    assert caught.value.where == argument
    assert list(caught.value.said) == ["where", "expected", "found", "what to do"]
    assert "ATLAS_" not in str(caught.value)
