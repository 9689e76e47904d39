from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from atlas_assets.errors import ModelError
from atlas_assets_tests.models import tiny
from tools.train_embedded.results import readout_size, set_residual_scale

ROWS = tiny.ids(6, 20).numpy()


@pytest.mark.parametrize("loudness", [0.03, 1.0, 20.0])
def test_readouts_are_scaled_and_logits_are_not(loudness: float) -> None:
    network = tiny.network(seed=3).double()  # in half the digits, near-ties of top-k may flip
    with torch.no_grad():
        for block in network.circuit_model.transformer.h:
            block.mlp.c_proj.weight.mul_(loudness)
            block.mlp.c_proj.bias.mul_(loudness)
    before, logits = tiny.readouts(network, torch.from_numpy(ROWS))
    size = readout_size(network, ROWS)
    factor = set_residual_scale(network, ROWS)
    after, same = tiny.readouts(network, torch.from_numpy(ROWS))
    assert np.log2(factor) == round(np.log2(factor)) == round(-np.log2(size))
    torch.testing.assert_close(same, logits, rtol=1e-8, atol=1e-8)
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old * factor, rtol=1e-8, atol=1e-8)
    assert 2**-0.51 < readout_size(network, ROWS) < 2**0.51


def test_the_size_is_that_of_the_readouts_that_are_not_zero() -> None:
    network = tiny.network(seed=3)
    readouts, _ = tiny.readouts(network, torch.from_numpy(ROWS))
    values = torch.cat([readout.flatten() for readout in readouts])
    kept = values[values != 0].double()
    assert len(kept) < len(values)
    assert readout_size(network, ROWS) == pytest.approx(float(kept.square().mean().sqrt()))


def test_twice_is_once() -> None:
    network = tiny.network(seed=4)
    set_residual_scale(network, ROWS)
    assert set_residual_scale(network, ROWS) == 1.0


@pytest.mark.parametrize(
    "options", [{"rms_norm": False}, {"d_pos_emb": None}, {"tied_unembed": True}]
)
def test_a_stream_without_free_scale_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="no free scale"):
        set_residual_scale(tiny.network(**options), ROWS)


def test_silent_networks_are_refused() -> None:
    network = tiny.network()
    with torch.no_grad():
        for block in network.circuit_model.transformer.h:
            block.mlp.c_proj.weight.zero_()
            block.mlp.c_proj.bias.zero_()
    with pytest.raises(ModelError, match="zeros"):
        set_residual_scale(network, ROWS)
