"""Runs that branch off in the layer that they ablate first, against whole runs through hooks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.extraction import branches, interventions
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Progress
from atlas_assets.settings import AtlasSettings
from atlas_assets_tests.extraction import tiny_models

TEXTS = [text for texts in tiny_models.UNITS.values() for text in texts]


def ablated(model: LoadedModel, gates: npt.NDArray[np.bool_], means: Any) -> Any:
    texts = sorted(set(TEXTS))
    runs = np.array([(text, gate) for text in range(len(texts)) for gate in range(len(gates))])
    return interventions.ablated_losses(
        model,
        texts,
        gates,
        runs,
        means,
        shards=ShardStore(None, tiny_models.FINGERPRINT),
        progress=Progress("ablating"),
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_branches_give_the_bits_of_whole_runs(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    model = AtlasModel(AtlasSettings.build(dtype=dtype)).loaded
    assert branches.branching(model) is model.network
    shape = (model.n_layers, model.width)
    rng = np.random.default_rng(0)
    # a few neurons of the layers from each one on, then every neuron, and none
    gates = np.ones((3 * model.n_layers + 2, *shape), np.bool_)
    for number in range(3 * model.n_layers):
        first = number % model.n_layers
        gates[number, first:] = rng.random((model.n_layers - first, model.width)) < 0.9
        gates[number, first, 0] = False
    gates[-2] = False
    means = rng.normal(size=shape)
    found = ablated(model, gates, means)
    # a run of its own for each branch, and four prompts at a time below
    assert len(set(TEXTS)) > 4
    monkeypatch.setattr(interventions, "BRANCH_TOKENS", 1)
    assert (ablated(model, gates, means) == found).all()
    monkeypatch.setattr(interventions, "branching", lambda _model: None)
    whole = ablated(model, gates, means)
    assert len(set(whole.tolist())) > len(gates)
    assert (found == whole).all()


def test_readouts_of_other_modules_do_not_branch() -> None:
    model = tiny_models.circuitgpt()
    assert branches.branching(model) is model.network
    blocks = model.base.transformer.h
    attention: Any = tuple(block.attn for block in blocks)  # type: ignore[union-attr]
    assert branches.branching(replace(model, points=attention)) is None
    assert branches.branching(tiny_models.gpt2()) is None
