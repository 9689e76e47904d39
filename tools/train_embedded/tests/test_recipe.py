from __future__ import annotations

import dataclasses
import json

import pytest

from atlas_assets.errors import SettingsError
from tools.train_embedded.recipe import embedded_recipe
from tools.train_embedded.tests import samples


def test_the_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    recipe = samples.recipe(learning_rate=0.4, warmup_steps=4, annealed_step=20, steps=24)
    rates = [recipe.learning_rate_at(step) for step in range(1, 25)]
    assert rates[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert set(rates[3:21]) == {0.4}
    assert rates[20:] == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_the_density_falls_linearly_from_dense_to_the_target() -> None:
    recipe = samples.recipe(density=0.2, dense_steps=4, annealed_step=14)
    densities = [recipe.density_at(step) for step in range(1, 25)]
    assert densities[:4] == [1.0] * 4
    assert densities[4:14] == pytest.approx([1 - 0.08 * n for n in range(1, 11)])
    assert densities[13:] == pytest.approx([0.2] * 11)


def test_steps_kept_are_a_dozen_to_the_last() -> None:
    kept = sorted(embedded_recipe().kept_steps)
    assert len(kept) == 12
    assert (kept[0], kept[-1]) == (30, embedded_recipe().steps)


def test_a_recipe_must_be_sparse_before_it_ends() -> None:
    with pytest.raises(SettingsError, match="more than 12 steps"):
        samples.recipe(steps=12)


def test_the_recipe_is_plain_data() -> None:
    told = dataclasses.asdict(embedded_recipe())
    assert json.loads(json.dumps(told)) == told
    assert embedded_recipe(seed=3) == dataclasses.replace(embedded_recipe(), seed=3)
