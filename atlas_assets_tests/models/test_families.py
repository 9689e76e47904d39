"""What is read of a network of each family equals hooks on single prompts without padding."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import (
    GraniteMoeSharedConfig,
    GraniteMoeSharedForCausalLM,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from atlas_assets.errors import ModelError
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.models.loading import load, resolve
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.models import tiny
from tools import families

UNITS = {"a": ["for i in x:\n    y", "if x:", "if x: pass"], "b": ["if x:", "z = [1, 2]"]}
#: families of each kind of block, for every run; a slow test has all
SOME: dict[str, tuple[str, ...]] = {
    "gpt2": ("transformer.h.*.mlp",),
    "gpt_oss": ("model.layers.*.mlp",),
    "opt": ("model.decoder.layers.*.fc2",),
    "bloom": ("transformer.h.*.mlp.dense_4h_to_h",),
    "mpt": ("transformer.blocks.*.ffn.down_proj",),
    "bert": ("bert.encoder.layer.*.output.dense",),
    "granitemoeshared": ("model.layers.*.block_sparse_moe", "model.layers.*.shared_mlp"),
    "granitemoehybrid": ("model.layers.*.block_sparse_moe", "model.layers.*.shared_mlp"),
    "gemma3": ("model.language_model.layers.*.mlp",),
    "llama4": ("model.layers.*.feed_forward",),
    "qwen3_next": ("model.layers.*.mlp",),
}


def saved(folder: Path, network: Any) -> Path:
    network.save_pretrained(folder)
    tiny.byte_tokenizer().save(str(folder / "tokenizer.json"))
    told = {"tokenizer_class": "PreTrainedTokenizerFast"}  # not the class of each family
    (folder / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def require_as_hooks_say(folder: Path, parts: tuple[str, ...], network: Any) -> None:
    """The readings of a checkpoint are those of hooks on the network that it was saved from."""
    model = load(resolve(str(folder), None))
    found = tiny_models.read(
        model, UNITS, shards=ShardStore(None, tiny_models.FINGERPRINT), batch_tokens=64
    )
    for unit, name in enumerate(found.activations.names):
        alone = [hooked(network, parts, model.tokenizer.encode(text)) for text in UNITS[name]]
        readouts = np.abs([readout for readout, _ in alone])
        sums = readouts.sum(axis=0, dtype=np.float64)
        np.testing.assert_allclose(
            found.activations.sums[unit], sums, rtol=1e-5, atol=1e-5 * sums.max()
        )
        np.testing.assert_array_equal(found.activations.counts[unit], (readouts > 0).sum(axis=0))
        np.testing.assert_allclose(found.losses[name], [loss for _, loss in alone], atol=1e-6)


def hooked(network: Any, parts: tuple[str, ...], ids: list[int]) -> tuple[Any, float]:
    """Readouts ``[layers, width]`` and the loss of one prompt, by plain hooks."""
    seen: dict[str, list[torch.Tensor]] = {}
    modules = dict(network.named_modules())
    patterns = [part.split("*") for part in parts]
    handles = []
    for before, after in patterns:
        layer = 0
        while (name := f"{before}{layer}{after}") in modules:
            handles.append(
                modules[name].register_forward_hook(
                    lambda _m, _i, out, key=f"{layer:03d}": seen.setdefault(key, []).append(
                        (out if isinstance(out, torch.Tensor) else out[0])
                        .reshape(len(ids), -1)[-1]
                        .clone()
                    )
                )
            )
            layer += 1
    cached = "use_cache" in inspect.signature(network.forward).parameters
    options = {"use_cache": False} if cached else {}
    with torch.no_grad():
        logits = network(input_ids=torch.tensor([ids]), **options).logits[0]
    for handle in handles:
        handle.remove()
    readouts = torch.stack([torch.stack(seen[key]).sum(dim=0) for key in sorted(seen)])
    assert {len(outputs) for outputs in seen.values()} == {len(parts)}
    loss = cross_entropy(logits[:-1].double(), torch.tensor(ids[1:]))
    return readouts.numpy(), float(loss)


@pytest.mark.parametrize(("model_type", "parts"), SOME.items(), ids=SOME.keys())
def test_some_families(tmp_path: Path, model_type: str, parts: tuple[str, ...]) -> None:
    network = families.build(model_type)
    require_as_hooks_say(saved(tmp_path, network), parts, network)


def test_the_text_part_of_a_multimodal_model(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "vocab_size": 300}
    text = LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=2)
    vision = {"model_type": "clip_vision_model", **sizes, "num_attention_heads": 2}
    config = LlavaConfig(text_config=text, vision_config=vision, image_token_id=299)
    network = LlavaForConditionalGeneration(config).eval()
    parts = ("model.language_model.layers.*.mlp",)
    require_as_hooks_say(saved(tmp_path, network), parts, network)


def test_one_of_several_parts_is_read_where_it_is_named(tmp_path: Path) -> None:
    config = GraniteMoeSharedConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        vocab_size=300,
        shared_intermediate_size=24,
        num_attention_heads=2,
    )
    folder = saved(tmp_path, GraniteMoeSharedForCausalLM(config))
    model = load(resolve(str(folder), None), mlp=("model.layers.*.shared_mlp",))
    shared = [model.network.model.layers[layer].shared_mlp for layer in range(2)]
    assert [id(module) for module in model.points] == [id(module) for module in shared]


REFUSED = {
    "bert": ({"is_decoder": False}, "not a causal language model", "is_decoder"),
    "longcat_flash": ({}, "cannot tell", "ATLAS_MLP"),
    "hrm_text": ({}, "cannot tell which modules", "ATLAS_MLP"),
    "mamba": ({}, "cannot tell which modules", "ATLAS_MLP"),
}


@pytest.mark.parametrize(("model_type", "why"), REFUSED.items(), ids=REFUSED.keys())
def test_what_cannot_be_told_is_refused_in_words(model_type: str, why: Any) -> None:
    changes, said, remedy = why
    with pytest.raises(ModelError, match=said) as caught:
        families.mlps_of(families.build(model_type, **changes))
    assert remedy in str(caught.value.remedy)
    assert len(str(caught.value)) < 600


@pytest.mark.slow
def test_every_class_is_read_or_refused_and_most_are_read(tmp_path: Path) -> None:
    found = [families.examine(model_type) for model_type in families.model_types()]
    built = [family for family in found if family.built]
    read = [family for family in built if family.read]
    assert len(read) >= 0.85 * len(built)
    wrong = []
    for family in read:
        network = families.build(family.model_type)
        folder = saved(tmp_path / family.model_type, network)
        try:
            parts = tuple(family.read.split(" or ")[0].split(" + "))
            require_as_hooks_say(folder, parts, network)
        except Exception as error:  # so that all are named
            wrong.append(f"{family.model_type}: {type(error).__name__}: {error!s:.300}")
    assert not wrong, "\n".join(wrong)


def test_prompts_are_run_after_the_beginning_of_sequence(tmp_path: Path) -> None:
    network = families.build("llama")
    folder = saved(tmp_path, network)
    parts, text, losses = ("model.layers.*.mlp",), "for i in x:", []
    for bos, before in (("always", [network.config.bos_token_id]), ("never", [])):
        model = load(resolve(str(folder), None), bos=bos)
        found = tiny_models.read(model, {"a": [text]})
        readouts, loss = hooked(network, parts, before + model.tokenizer.encode(text))
        np.testing.assert_allclose(found.activations.sums[0], np.abs(readouts), rtol=1e-4)
        np.testing.assert_allclose(found.losses["a"], [loss], atol=1e-6)
        assert found.lengths["a"].tolist() == [len(before) + len(text)]
        losses.append(loss)
    assert losses[0] != losses[1]
