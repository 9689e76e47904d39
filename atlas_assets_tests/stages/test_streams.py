"""Random streams: equal for equal seeds, different for all else."""

from __future__ import annotations

import numpy as np
import pytest

from atlas_assets.errors import SettingsError
from atlas_assets.stages import streams
from atlas_assets_tests.stages.random_atlas import refused


def test_a_layers_stream_is_that_child_of_the_seed():
    child = np.random.SeedSequence(42).spawn(8)[5]
    expected = np.random.Generator(np.random.PCG64(child)).random(4)
    assert streams.of_layer(42, 5).random(4).tolist() == expected.tolist()


def test_streams_differ_by_seed_layer_and_concept():
    found = [
        *(streams.of_layer(seed, layer) for seed in (0, 1, 2**40) for layer in range(8)),
        *(streams.of_concept(seed, name) for seed in (0, 1) for name in ("ast__If", "ast__Is")),
    ]
    assert len({stream.random() for stream in found}) == len(found)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_table_can_hold_is_refused(seed):
    for stream in (lambda: streams.of_layer(seed, 0), lambda: streams.of_concept(seed, "ast__If")):
        with refused(SettingsError, str(seed)):
            stream()
    assert 0 <= streams.of_layer(2**63 - 1, 0).random() < 1
