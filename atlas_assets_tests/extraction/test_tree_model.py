"""Networks of transformers on a prefix tree: right where they run there, and elsewhere refused."""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atlas_assets.extraction import losses, tree_model, tree_pass
from atlas_assets.extraction.prefix_tree import PrefixTree
from atlas_assets.extraction.prompts import tokenize
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.models.loaded import LoadedModel
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.extraction.test_extraction import assert_read
from atlas_assets_tests.extraction.tiny_models import FINGERPRINT, extracted, read

_RANDOM = random.Random(0)
TEXTS = [
    "a",
    "ab",
    "b" * 90,
    "b" * 90 + "c",
    *("".join(_RANDOM.choices("abc", k=_RANDOM.randint(1, 60))) for _ in range(10)),
]
EACH = {text: [text] for text in TEXTS}
#: layers that look back over so many tokens; fewer than a prompt and a chunk have
WINDOW = {"sliding_window": 7}
EXPERTS = {"moe_intermediate_size": 16, "num_experts_per_tok": 2}
ON_THE_TREE: dict[str, tuple[str, dict[str, Any]]] = {
    "mistral": ("mistral", WINDOW),
    "qwen 2": ("qwen2", {}),
    "qwen 2, some layers with a window": (
        "qwen2",
        {**WINDOW, "use_sliding_window": True, "max_window_layers": 2},
    ),
    "qwen 3, experts": ("qwen3_moe", {**EXPERTS, "num_experts": 4}),
    "neox": ("gpt_neox", {"num_key_value_heads": None}),
    "phi 3": ("phi3", {}),
    "gemma 2": ("gemma2", WINDOW),
    "gemma 3": ("gemma3_text", {**WINDOW, "sliding_window_pattern": 3}),
    "cohere 2": ("cohere2", WINDOW),
    "olmo 3": ("olmo3", WINDOW),
    "starcoder": ("gpt_bigcode", {}),
    "gpt-j": ("gptj", {"rotary_dim": 4, "head_dim": None}),
    "codegen": ("codegen", {"rotary_dim": 4, "n_ctx": tiny_models.POSITIONS, "head_dim": None}),
    "deepseek 3": (
        "deepseek_v3",
        {
            **EXPERTS,
            "n_routed_experts": 4,
            "first_k_dense_replace": 1,
            "n_group": 1,
            "topk_group": 1,
            "q_lora_rank": 8,
            "kv_lora_rank": 8,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 4,
            "v_head_dim": 4,
            "num_key_value_heads": 4,
            "head_dim": None,
        },
    ),
    "falcon": ("falcon", {"alibi": False, "head_dim": None}),
}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "local attention": (
        "gpt_neo",
        {"attention_types": [[["global", "local"], 2]], "window_size": 7},
        "differs by",
    ),
    "alibi": ("falcon", {"alibi": True, "head_dim": None}, "fails there with"),
    "recurrent": ("lfm2", {"layer_types": ["conv", "full_attention"] * 2}, "layers of conv"),
}


def random_network(model_type: str, options: dict[str, Any]) -> Any:
    """A small network of transformers, its weights large enough for attention to matter."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "vocab_size": tiny_models.VOCABULARY,
        "hidden_size": tiny_models.WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "max_position_embeddings": tiny_models.POSITIONS,
        "pad_token_id": 0,
        **options,
    }
    given = {name: value for name, value in sizes.items() if value is not None}
    torch.manual_seed(5)
    made: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **given))
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3)
    return made


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Any tokenizer of transformers: prompts are bytes here."""
    from transformers import PreTrainedTokenizerFast

    from atlas_assets.models.sources import resolve

    file = resolve("embedded", None).folder / "tokenizer.json"
    return PreTrainedTokenizerFast(tokenizer_file=str(file), pad_token="<|endoftext|>")


@pytest.fixture
def network(tokenizer: Any) -> Iterator[Callable[[str, dict[str, Any]], LoadedModel]]:
    """Makes a network, and lends it to extraction until the test ends."""
    from atlas_assets.models.in_memory import in_memory

    with ExitStack() as stack:

        def lend(model_type: str, options: dict[str, Any]) -> LoadedModel:
            made = random_network(model_type, options)
            lent = stack.enter_context(in_memory(made, tokenizer))
            return dataclasses.replace(lent, tokenizer=tiny_models.ByteTokenizer())

        yield lend


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="atlas_assets")
    return caplog


@pytest.mark.parametrize("name", ON_THE_TREE)
def test_what_runs_on_the_tree_gives_what_prompts_alone_give(
    name: str, network: Any, log: pytest.LogCaptureFixture
) -> None:
    model = network(*ON_THE_TREE[name])
    assert_read(model, EACH, (40, 10**6), rtol=1e-5, atol=1e-5)
    assert "padded batches" not in log.text


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_run_there_runs_in_batches_and_says_so_once(
    name: str, network: Any, log: pytest.LogCaptureFixture
) -> None:
    model_type, options, reason = REFUSED[name]
    model = network(model_type, options)
    found, again = read(model, EACH), read(model, EACH)
    plain = read(model, EACH, path="plain")
    assert found.activations.digest() == again.activations.digest() == plain.activations.digest()
    (line,) = [record.message for record in log.records if "padded batches" in record.message]
    assert reason in line


def test_a_window_as_wide_as_real_prompts_is_found_out(network: Any) -> None:
    options = {"attention_types": [[["global", "local"], 2]], "window_size": 256}
    model = network("gpt_neo", {**options, "max_position_embeddings": 1024})
    units = {"a": [f"{'x' * 60}{n}{'y' * 20}" for n in range(40)]}
    found, plain = read(model, units), read(model, units, path="plain")
    assert found.activations.digest() == plain.activations.digest()


def test_weights_that_are_not_finite_are_named_as_ever() -> None:
    from atlas_assets.errors import ModelError

    model = tiny_models.llama()
    with torch.no_grad():
        model.network.model.embed_tokens.weight[ord("!")] = float("nan")  # type: ignore[union-attr, operator, index]
    with pytest.raises(ModelError, match=r"not finite.*\n.*unit b, prompt 1"):
        read(model, {"a": ["x"], "b": ["xy", "x!"]})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype, log: pytest.LogCaptureFixture) -> None:
    model = tiny_models.llama()
    exact = read(model, EACH)
    model.network.to(dtype)
    model = dataclasses.replace(model, dtype=dtype)
    plain, tree = (read(model, EACH, path=path) for path in ("plain", "tree"))
    assert "padded batches" not in log.text
    of_plain, of_tree = (
        np.abs(found.activations.sums - exact.activations.sums).mean() for found in (plain, tree)
    )
    assert of_tree < 1.5 * of_plain
    assert all(abs(tree.losses[text] - exact.losses[text]) < 0.05 for text in TEXTS)


def test_each_prefix_runs_once_and_few_at_a_time_and_logits_only_where_asked_for() -> None:
    model = tiny_models.llama()
    extracted(model, EACH)  # the probe
    rows: list[int] = []
    logits: list[int] = []
    model.points[0].register_forward_pre_hook(lambda _m, inputs: rows.append(inputs[0].shape[1]))
    head: Any = model.network.lm_head
    head.register_forward_pre_hook(lambda _m, inputs: logits.append(inputs[0].shape[1]))
    extracted(model, EACH)
    distinct = {text[: n + 1] for text in TEXTS for n in range(len(text))}
    assert max(rows) <= tree_model.most_nodes(model) == tiny_models.POSITIONS
    assert sum(rows) < 1.2 * len(distinct)
    assert not logits
    read(model, EACH)
    # of every prefix but those that no longer one begins with
    assert sum(logits) < sum(rows) / 2 - 10


def test_a_pass_that_was_stopped_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_pass, "CHUNKS_PER_LEG", 1)
    monkeypatch.setattr(tree_pass, "NOTE_SECONDS", -1.0)
    model = tiny_models.llama()
    expected = read(model, EACH)
    calls: list[int] = []
    stops = [3]

    def stop_once(_module: Any, _inputs: Any) -> None:
        calls.append(1)
        if stops == [len(calls)]:
            stops.clear()
            raise KeyboardInterrupt

    model.points[0].register_forward_pre_hook(stop_once)
    store = ShardStore(tmp_path, FINGERPRINT)
    with pytest.raises(KeyboardInterrupt):
        read(model, EACH, shards=store)
    calls.clear()
    found = read(model, EACH, shards=store)
    left = len(calls)
    calls.clear()
    read(model, EACH)
    assert left == len(calls) - 2
    assert found.activations.digest() == expected.activations.digest()
    assert all(np.array_equal(found.losses[text], expected.losses[text]) for text in TEXTS)


def test_losses_are_computed_a_slice_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_models.gpt2()
    whole = read(model, EACH)
    monkeypatch.setattr(tree_model, "LOGITS_PER_SLICE", 3 * tiny_models.VOCABULARY)
    sliced = read(model, EACH)
    for text in TEXTS:
        np.testing.assert_allclose(sliced.losses[text], whole.losses[text], rtol=0, atol=1e-7)
    assert losses.LOGITS_PER_SLICE == 2**22


def test_a_node_sees_its_ancestors_and_no_more_of_them_than_a_window_has() -> None:
    table, rows = tokenize(tiny_models.ByteTokenizer(), ["abc", "abde", "b", "abd"])
    tree, _ = PrefixTree.of(table, rows)
    chunk = tree.chunk(0, len(tree))
    assert bytes(chunk.tokens.tolist()) == b"abcdeb"
    seen = [np.flatnonzero(row).tolist() for row in tree_model.visible(chunk)]
    assert seen == [[0], [0, 1], [0, 1, 2], [0, 1, 3], [0, 1, 3, 4], [5]]
    near = [np.flatnonzero(row).tolist() for row in tree_model.visible(chunk, 2)]
    assert near == [[0], [0, 1], [1, 2], [1, 3], [3, 4], [5]]


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["qwen 2", "gemma 2"])
def test_a_gpu_agrees_with_the_cpu(name: str, network: Any) -> None:
    model = network(*ON_THE_TREE[name])
    expected = read(model, EACH)
    model.network.cuda()
    found = read(dataclasses.replace(model, device=torch.device("cuda")), EACH)
    sums = (readings.activations.sums for readings in (found, expected))
    np.testing.assert_allclose(*sums, rtol=1e-4, atol=1e-4)
