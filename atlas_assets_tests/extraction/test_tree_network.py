"""circuitgpt on a prefix tree gives what its forward pass gives, for every option of a config."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
import torch

from atlas_assets.extraction import tree_attention, tree_network
from atlas_assets.extraction.prefix_tree import PrefixTree
from atlas_assets.extraction.prompts import tokenize
from atlas_assets.models.circuitgpt_config import LOCATIONS
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.extraction.test_extraction import assert_read
from atlas_assets_tests.extraction.tiny_models import read

SPARSE = {"afrac": 0.5, "afrac_loctypes": ",".join(LOCATIONS)}
RELU = {"activation_type": "relu", "residual_activation_type": "relu"}
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no biases": {"bias": False, "ln_bias": False},
    "rms norm": {"rms_norm": True},
    "relu": RELU,
    "sink": {"sink": True},
    "concatenated positions": {"d_pos_emb": 8},
    "concatenated positions, rms norm": {"d_pos_emb": 8, "rms_norm": True},
    "tied": {"tied_unembed": True},
    "bigrams": {"enable_bigram_table": True},
    "other sizes": {"d_head": 12, "d_mlp": 40},
    **{f"sparse {where}": {"afrac": 0.25, "afrac_loctypes": where} for where in LOCATIONS},
    "everything": {
        **RELU,
        **SPARSE,
        "rms_norm": True,
        "d_pos_emb": 8,
        "sink": True,
        "enable_bigram_table": True,
    },
}
_RANDOM = random.Random(0)
TEXTS = [
    "a",
    "ab",
    "b" * 90,
    "b" * 90 + "c",
    *("".join(_RANDOM.choices("ab", k=_RANDOM.randint(1, 60))) for _ in range(20)),
]
#: a unit of each text, so that its sums are the readouts of one prompt
EACH = {text: [text] for text in TEXTS}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option(name: str) -> None:
    model = tiny_models.circuitgpt(**OPTIONS[name])
    assert_read(model, EACH, (1, 50, 10**6), "tree", rtol=2e-6, atol=1e-5)


def test_in_double_precision_only_the_last_bits_differ() -> None:
    model = tiny_models.circuitgpt(**OPTIONS["everything"])
    model.network.double()
    model = dataclasses.replace(model, dtype=torch.float64)
    assert_read(model, EACH, (70,), "tree", rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    model = tiny_models.circuitgpt(rms_norm=True, sink=True, d_pos_emb=8)
    exact = read(model, EACH, path="tree")
    model.network.to(dtype)
    model = dataclasses.replace(model, dtype=dtype)
    plain, found = (read(model, EACH, path=path, batch_tokens=70) for path in ("plain", "tree"))
    of_plain, of_tree = (
        np.abs(x.activations.sums - exact.activations.sums) for x in (plain, found)
    )
    # as far from float32 as the plain pass in that precision is, and no farther
    assert of_tree.mean() < 1.5 * of_plain.mean()
    assert all(abs(found.losses[text] - exact.losses[text]) < 0.1 for text in EACH)


def test_losses_stop_after_512_tokens_and_readouts_do_not() -> None:
    model = tiny_models.circuitgpt(block_size=600)
    texts = ("ab" * 256, "ab" * 256 + "cdefg", "ab" * 300)
    units = {text: [text] for text in texts}
    assert_read(model, units, (64,), "tree", rtol=1e-5, atol=2e-5)
    losses = read(model, units, path="tree").losses
    assert losses[texts[0]] == pytest.approx(losses[texts[1]], abs=1e-7)


@pytest.mark.parametrize("bound", [1, 10**9])
def test_how_much_is_held_at_a_time_does_not_matter(
    bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_attention, "SCORES_ON_CPU", bound)
    monkeypatch.setattr(tree_network, "LOGITS_ON_CPU", bound)
    assert_read(tiny_models.sparse_circuitgpt(), EACH, (500,), "tree", rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize("limit", [10**6, 120])
def test_each_prefix_goes_through_the_network_once_and_few_at_a_time(limit: int) -> None:
    model = tiny_models.circuitgpt()
    rows: list[int] = []
    model.points[0].register_forward_pre_hook(lambda _m, inputs: rows.append(len(inputs[0])))
    read(model, EACH, path="tree", batch_tokens=limit)
    distinct = len({text[: n + 1] for text in TEXTS for n in range(len(text))})
    assert max(rows) <= limit
    # a chunk computes again what its first sequence shares with the one before
    assert sum(rows) == distinct if len(rows) == 1 else sum(rows) < 1.2 * distinct


def test_blocks_of_similar_size_attend_together_within_the_bound() -> None:
    texts = ["b" * 100 + chr(300 + i) + "b" * 20 for i in range(200)]
    texts += [chr(600 + i) + "bcd" for i in range(800)]
    table, rows = tokenize(tiny_models.ByteTokenizer(), texts)
    tree, _ = PrefixTree.of(table, np.unique(rows))
    chunk = tree.chunk(0, len(tree))
    groups = list(tree_attention.block_groups(chunk, most_scores=10**9, sink=True))
    assert len(groups) < 8
    assert sum(group.visible.size for group in groups) < 1.6 * (chunk.depths + 1).sum()
    for group in tree_attention.block_groups(chunk, most_scores=20_000, sink=True):
        assert len(group.visible) == 1 or group.visible.size <= 20_000


@pytest.mark.gpu
@pytest.mark.parametrize("name", OPTIONS)
def test_a_gpu_agrees_with_the_cpu(name: str) -> None:
    model = tiny_models.circuitgpt(**OPTIONS[name])
    expected = read(model, EACH, path="tree", batch_tokens=50)
    model.network.cuda()
    model = dataclasses.replace(model, device=torch.device("cuda"))
    found = read(model, EACH, path="tree", batch_tokens=50)
    sums = (x.activations.sums for x in (found, expected))
    np.testing.assert_allclose(*sums, rtol=1e-5, atol=5e-5)
    for text in EACH:
        np.testing.assert_allclose(found.losses[text], expected.losses[text], rtol=0, atol=5e-5)
