"""The readout `published` on a prefix tree is that of the release's batches, bit by bit."""

from __future__ import annotations

import dataclasses
import logging
import random
from typing import Any

import pytest
import torch

from atlas_assets.extraction import published_tree
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.extraction.test_extraction import real_units
from atlas_assets_tests.extraction.tiny_models import extracted

_RANDOM = random.Random(1)
#: a unit of each longest length, with rows of any length beside it, and more than one batch
UNITS = {
    f"longest {longest}": [
        "x" * longest,
        *("".join(_RANDOM.choices("ab", k=_RANDOM.randint(1, longest))) for _ in range(n)),
    ]
    for longest, n in [*((size, 5) for size in range(13, 37)), (66, 1), (95, 70)]
}
#: heads of 16 and 32, as wide as they may be; those of the other small models are not
MODELS: dict[str, Any] = {
    "plain": {"width": 32},
    "with a sink": {"width": 64, "sink": True},
    "sparse": {
        "width": 32,
        "sink": True,
        "afrac": 0.25,
        "afrac_loctypes": "mlp_out,attn_k",
        "d_pos_emb": 8,
    },
}


def counted(model: Any) -> list[int]:
    """The number of positions of each call of the first MLP from now on."""
    rows: list[int] = []
    model.points[0].register_forward_pre_hook(
        lambda _m, inputs: rows.append(inputs[0].shape[:-1].numel())
    )
    return rows


@pytest.mark.parametrize("name", MODELS)
def test_the_bits_are_those_of_batches(name: str) -> None:
    model = tiny_models.circuitgpt(**MODELS[name])
    plain = extracted(model, UNITS, readout="published", path="plain")
    for nodes in (50, None):
        found = extracted(model, UNITS, readout="published", batch_tokens=nodes)
        assert found.digest() == plain.digest()
    assert published_tree._exact[model]


def test_each_prefix_is_run_once() -> None:
    model = tiny_models.circuitgpt(**MODELS["sparse"])
    rows = counted(model)
    units = {"a": [f"{'x' * 70}{n}" for n in range(50)], "b": ["y" * 70, "z"] * 20}
    extracted(model, units, readout="published", path="plain")
    in_batches = sum(rows)
    extracted(model, units, readout="published")  # the first batch is tried both ways
    rows.clear()
    extracted(model, units, readout="published")
    assert sum(rows) < in_batches / 10


def test_where_bits_differ_batches_are_run_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_models.circuitgpt(**MODELS["with a sink"])
    plain = extracted(model, UNITS, readout="published", path="plain")
    # whether another order of sums gives other bits depends on the machine: here all differ
    run = published_tree._ReadChunks._run
    monkeypatch.setattr(
        published_tree._ReadChunks, "_run", lambda *given: run(*given) * (1 + 2**-20)
    )
    units = {"longest 95": UNITS["longest 95"]}
    with caplog.at_level(logging.INFO):
        found = [extracted(model, units, readout="published") for _ in range(2)]
    assert {each.digest() for each in found} == {plain.select(("longest 95",)).digest()}
    assert caplog.text.count("bits differ on this machine") == 1


@pytest.mark.parametrize("case", ["long rows", "few tokens", "narrow heads", "half precision"])
def test_what_was_never_seen_to_be_exact_runs_in_batches(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_models.circuitgpt(width=16 if case == "narrow heads" else 32)
    units = UNITS | ({"few": ["xyz"]} if case == "few tokens" else {})
    if case == "long rows":
        monkeypatch.setattr(published_tree, "LONGEST", 94)
    elif case == "half precision":
        model.network.bfloat16()
        model = dataclasses.replace(model, dtype=torch.bfloat16)
    rows = counted(model)
    found = extracted(model, units, readout="published")
    in_batches = sum(rows)
    assert extracted(model, units, readout="published", path="plain").digest() == found.digest()
    assert sum(rows) == 2 * in_batches


def test_the_embedded_model_on_prompts_of_a_cut_grid() -> None:
    from atlas_assets.models.loading import load, resolve

    model = load(resolve("embedded", None), device="cpu", dtype="float32")
    units = real_units(ast_nodes=["For", "Pass"], builtins=["list", "_isolated_"], variations=30)
    tree, plain = (
        extracted(model, units, readout="published", path=path) for path in ("tree", "plain")
    )
    assert tree.digest() == plain.digest()
    assert published_tree._exact[model]


@pytest.mark.slow
def test_the_embedded_model_on_the_full_grid() -> None:
    from atlas_assets.models.loading import load, resolve

    torch.set_num_threads(2)
    model = load(resolve("embedded", None), device="cpu", dtype="float32")
    tree, plain = (
        extracted(model, real_units(), readout="published", path=path) for path in ("tree", "plain")
    )
    assert tree.digest() == plain.digest()
