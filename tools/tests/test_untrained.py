from __future__ import annotations

import torch

from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets_tests.models import tiny
from tools.train_embedded.recipe import embedded_recipe
from tools.untrained import Scales, untrained

CONFIG = CircuitGPTConfig(**tiny.OPTIONS)


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (untrained(CONFIG, seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_every_row_keeps_the_same_share() -> None:
    for density, entries in ((0.05, 1), (0.25, 5)):
        network = untrained(CONFIG, 5, Scales(density=density))
        c_fc = network.get_submodule("circuit_model.transformer.h.0.mlp.c_fc").weight
        assert c_fc.shape == (24, 20)
        assert set(c_fc.count_nonzero(dim=1).tolist()) == {entries}


def test_training_starts_dense_and_with_no_neuron_louder_than_others() -> None:
    start = embedded_recipe().start
    network = untrained(CircuitGPTConfig(**{**tiny.OPTIONS, "d_model": 128}), 5, start)
    for name, tensor in network.named_parameters():
        if tensor.ndim == 2 and "bigram" not in name:
            assert tensor.count_nonzero() == tensor.numel(), name
    c_proj = network.get_submodule("circuit_model.transformer.h.0.mlp.c_proj").weight.detach()
    norms = c_proj.norm(dim=1)
    assert float(norms.max() / norms.min()) < 4
    assert abs(float(norms.mean()) - start.readout) < 0.05
