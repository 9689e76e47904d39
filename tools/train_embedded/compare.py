"""Short runs of equal cost, to choose a recipe: ``python -m tools.train_embedded.compare``.

Each variant trains for the same processor time on one thread, with the recipe's schedule drawn
together, and prints one row of a table. What a short run prefers a long one need not: it favours
what learns fast, above all few layers and small batches.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from atlas_assets.stages.prompts import object_prompts
from atlas_assets.stages.prompts.stimuli import load_stimuli
from tools.train_embedded import loop
from tools.train_embedded.corpus import read_corpus, read_packages
from tools.train_embedded.material import LIBRARY, PACKAGES, PROMPTS, Material, gather
from tools.train_embedded.recipe import OPTIONS, Recipe
from tools.train_embedded.state import fresh

#: steps run to learn how long one takes
_TIMED = 3
#: last steps whose mean loss is printed
_LAST = 20


def shortened(recipe: Recipe, steps: int) -> Recipe:
    """Return the recipe with the parts of its schedule at the same shares of ``steps``."""
    return dataclasses.replace(
        recipe,
        steps=steps,
        warmup_steps=max(steps // 20, 1),
        dense_steps=steps // 20,
        annealed_step=round(0.4 * steps),
    )


def compare(variant: Mapping[str, Any], material: Material, seconds: float) -> str:
    """Train one variant for about so many seconds of processor time; return its row.

    Args:
        variant: fields of `Recipe` that differ, and ``options`` with those of its keys that do.
        material: what all variants are trained and judged on.
        seconds: processor time of the steps.
    """
    options = {**OPTIONS, **variant.get("options", {})}
    recipe = dataclasses.replace(Recipe(), **{**variant, "options": options})
    spent = _run(shortened(recipe, 10**6), material, _TIMED)[1]
    recipe = shortened(recipe, max(int(seconds / spent * _TIMED), 30))
    (state, losses), cpu = _run(recipe, material, recipe.steps)
    held_out = [
        loop.held_out_loss(state.network, loop.curve_sample(material.held_out[name]))
        for name in (LIBRARY, PACKAGES, PROMPTS)
    ]
    tokens = recipe.steps * recipe.batch_tokens
    means = [sum(losses[-_LAST:]) / len(losses[-_LAST:]), *held_out]
    numbers = [f"{tokens:,}", f"{tokens / cpu:,.0f}", *(f"{mean:.3f}" for mean in means)]
    return f"| `{json.dumps(variant)}` | {' | '.join(numbers)} |"


def _run(recipe: Recipe, material: Material, steps: int) -> tuple[tuple[Any, list[float]], float]:
    state, losses = fresh(recipe), []
    start = time.process_time()
    for _ in range(steps):
        state.recent_loss = 0.0
        loop.take_step(state, recipe, material.train)
        losses.append(state.recent_loss)
    return (state, losses), time.process_time() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_embedded.compare")
    parser.description = "Train variants of the recipe for the same processor time each."
    parser.add_argument("variants", nargs="+", type=json.loads, help="JSON of what differs")
    parser.add_argument("--seconds", type=float, default=200.0, help="default: %(default)s")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    prompts = object_prompts.generate(load_stimuli())
    material = gather(Recipe(), read_corpus(), read_packages(), prompts)
    sys.stdout.write("| variant | tokens | tokens/s | training | library | packages | prompts |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    for variant in given.variants:
        sys.stdout.write(compare(variant, material, given.seconds) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
