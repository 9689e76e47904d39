"""circuitgpt on a prefix tree gives what its forward pass gives, for every option of a config."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.extraction import tree_attention, tree_network
from atlas_assets.extraction.losses import tree_mean_losses
from atlas_assets.extraction.prefix_tree import PrefixTree
from atlas_assets.extraction.prompts import tokenize
from atlas_assets.extraction.tree_network import TreeNetwork
from atlas_assets.models.circuitgpt_config import LOCATIONS
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.oracles import extraction_naive as naive

OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "no biases": {"bias": False, "ln_bias": False},
    "rms norm": {"rms_norm": True},
    "relu": {"activation_type": "relu", "residual_activation_type": "relu"},
    "sink": {"sink": True},
    "concatenated positions": {"d_pos_emb": 8},
    "concatenated positions, rms norm": {"d_pos_emb": 8, "rms_norm": True},
    "tied": {"tied_unembed": True},
    "bigrams": {"enable_bigram_table": True},
    "other sizes": {"d_head": 12, "d_mlp": 40},
    **{f"sparse {where}": {"afrac": 0.25, "afrac_loctypes": where} for where in LOCATIONS},
    "everything": {
        "rms_norm": True,
        "activation_type": "relu",
        "residual_activation_type": "relu",
        "afrac": 0.5,
        "afrac_loctypes": ",".join(LOCATIONS),
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


def read(model: Any, texts: list[str], limit: int, *, losses: bool = True) -> Any:
    """Readouts ``[texts, layers, width]`` and losses ``[texts]`` by the tree."""
    table, rows = tokenize(model.tokenizer, texts)
    tree, places = PrefixTree.of(table, np.arange(len(table)))
    network = TreeNetwork(model.network)
    readouts, means = [], []
    for cut in tree.cuts(limit):
        chunk = tree.chunk(*cut)
        found, of_nodes = network.run(chunk, losses=losses)
        readouts.append(found.cpu().numpy())
        if of_nodes is not None:
            means.append(tree_mean_losses(chunk, of_nodes.cpu().numpy()))
        assert (of_nodes is not None) == losses
    order = places[rows]
    return np.concatenate(readouts)[order], np.concatenate(means)[order] if losses else None


def expected_readouts(model: Any, texts: list[str]) -> Any:
    ids = [model.tokenizer.encode(text) for text in texts]
    return np.asarray(
        [[out[0, -1].float().numpy() for out in naive.layer_outputs(model, [i])] for i in ids]
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option(name: str) -> None:
    model = tiny_models.circuitgpt(**OPTIONS[name])
    expected = expected_readouts(model, TEXTS)
    wanted = [naive.loss(model, text) for text in TEXTS]
    for limit in (1, 50, 10**6):
        readouts, losses = read(model, TEXTS, limit)
        assert readouts.dtype == np.float32
        np.testing.assert_allclose(readouts, expected, rtol=2e-6, atol=1e-5)
        np.testing.assert_allclose(losses, wanted, rtol=0, atol=1e-5)
    without, _ = read(model, TEXTS, 50, losses=False)
    np.testing.assert_allclose(without, expected, rtol=2e-6, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    texts=st.lists(st.text("ab=", min_size=1, max_size=40), min_size=1, max_size=20),
    limit=st.integers(1, 300),
)
def test_any_texts_in_any_chunks(texts: list[str], limit: int) -> None:
    model = tiny_models.sparse_circuitgpt()
    readouts, losses = read(model, texts, limit)
    np.testing.assert_allclose(readouts, expected_readouts(model, texts), rtol=2e-6, atol=1e-5)
    wanted = [naive.loss(model, text) for text in texts]
    np.testing.assert_allclose(losses, wanted, rtol=0, atol=1e-5)


def test_in_double_precision_only_the_last_bits_differ() -> None:
    model = tiny_models.circuitgpt(**OPTIONS["everything"])
    model.network.double()
    model = dataclasses.replace(model, dtype=torch.float64)
    readouts, losses = read(model, TEXTS, 70)
    np.testing.assert_allclose(readouts, expected_readouts(model, TEXTS), rtol=1e-6, atol=1e-9)
    wanted = [naive.loss(model, text) for text in TEXTS]
    np.testing.assert_allclose(losses, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    model = tiny_models.circuitgpt(rms_norm=True, sink=True, d_pos_emb=8)
    exact, exact_losses = read(model, TEXTS, 70)
    model.network.to(dtype)
    model = dataclasses.replace(model, dtype=dtype)
    plain = np.abs(expected_readouts(model, TEXTS) - exact)
    readouts, losses = read(model, TEXTS, 70)
    # as far from float32 as the plain pass in that precision is, and no farther
    assert np.abs(readouts - exact).mean() < 1.5 * plain.mean()
    assert np.abs(losses - exact_losses).max() < 0.1


def test_losses_stop_after_512_tokens_and_readouts_do_not() -> None:
    model = tiny_models.circuitgpt(block_size=600)
    texts = ["ab" * 256, "ab" * 256 + "cdefg", "ab" * 300]
    readouts, losses = read(model, texts, 64)
    np.testing.assert_allclose(losses, [naive.loss(model, t) for t in texts], rtol=0, atol=1e-5)
    assert losses[0] == pytest.approx(losses[1], abs=1e-7)
    np.testing.assert_allclose(readouts, expected_readouts(model, texts), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("bound", [1, 10**9])
def test_how_much_is_held_at_a_time_does_not_matter(
    bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_models.sparse_circuitgpt()
    expected, expected_losses = read(model, TEXTS, 500)
    monkeypatch.setattr(tree_attention, "SCORES_ON_CPU", bound)
    monkeypatch.setattr(tree_network, "LOGITS_ON_CPU", bound)
    readouts, losses = read(model, TEXTS, 500)
    np.testing.assert_allclose(readouts, expected, rtol=0, atol=2e-6)
    np.testing.assert_allclose(losses, expected_losses, rtol=0, atol=1e-6)


def test_each_prefix_goes_through_the_network_once() -> None:
    model = tiny_models.circuitgpt()
    rows: list[int] = []
    model.mlps[0].register_forward_pre_hook(lambda _m, inputs: rows.append(len(inputs[0])))
    read(model, TEXTS, 10**6)
    assert sum(rows) == len({text[: n + 1] for text in TEXTS for n in range(len(text))})


@pytest.mark.gpu
@pytest.mark.parametrize("name", OPTIONS)
def test_a_gpu_agrees_with_the_cpu(name: str) -> None:
    model = tiny_models.circuitgpt(**OPTIONS[name])
    expected, expected_losses = read(model, TEXTS, 50)
    model.network.cuda()
    model = dataclasses.replace(model, device=torch.device("cuda"))
    readouts, losses = read(model, TEXTS, 50)
    np.testing.assert_allclose(readouts, expected, rtol=1e-5, atol=5e-5)
    np.testing.assert_allclose(losses, expected_losses, rtol=0, atol=5e-5)
