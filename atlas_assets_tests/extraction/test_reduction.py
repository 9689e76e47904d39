"""Readouts added up: in float64, rounded once."""

from __future__ import annotations

import numpy as np
import torch

from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.extraction.tiny_models import extracted


def test_many_small_readouts_are_not_lost_beside_a_large_one() -> None:
    model = tiny_models.toy()
    with torch.no_grad():
        model.base.embed.weight.fill_(1.0)
        model.base.embed.weight[ord("a")] = 3.0e7
        model.mlps[0][0].weight.copy_(torch.eye(tiny_models.WIDTH))
        model.mlps[0][0].bias.zero_()
    found = extracted(model, {"u": ["a", *("b" * i for i in range(1, 91))]}, batch_tokens=100)
    # added one by one in float32 the ones would vanish: 3e7 + 1 == 3e7
    assert found.sums[0, 0, 0] == np.float32(3.0e7 + 90)
