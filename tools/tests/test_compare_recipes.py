from __future__ import annotations

import json
from typing import Any

from tools.compare_recipes import compare, shortened
from tools.train_embedded.recipe import embedded_recipe
from tools.train_embedded.tests import samples


def test_a_variant_is_trained_and_told_in_a_row() -> None:
    sizes: dict[str, Any] = {**samples.SIZES, "d_mlp": 24, "d_pos_emb": 4}
    variant = {"options": sizes, "windows": [16, 32], "part_tokens": 128, "learning_rate": 0.01}
    row = compare(variant, samples.material(), seconds=0.01).strip("| ").split(" | ")
    assert json.loads(row[0].strip("`"))["options"] == sizes
    assert row[1] == f"{30 * (8 * 15 + 4 * 31):,}"  # the fewest steps there are
    losses = [float(cell) for cell in row[3:]]
    assert len(losses) == 4
    assert all(0 < loss < 5.7 for loss in losses)  # a uniform guess has ln 300


def test_the_schedule_keeps_its_shares() -> None:
    recipe, usual = shortened(1000), embedded_recipe()
    assert (recipe.steps, recipe.annealed_step) == (1000, 400)
    assert recipe.annealed_step / recipe.steps == usual.annealed_step / usual.steps
