"""Short runs of equal cost, to choose a recipe: ``python -m tools.compare_recipes``.

Each variant trains for the same processor time on one thread, with the recipe's schedule drawn
together, and prints one row of a table. What a short run prefers a long one need not: it favours
what learns fast, above all few layers and small batches.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tools.train_embedded.__main__ import everything
from tools.train_embedded.material import Material
from tools.train_embedded.recipe import Recipe, embedded_recipe
from tools.train_embedded.training import State, fresh, mean_loss, take_step

#: steps run to learn how long one takes, and last steps whose mean loss is printed
_TIMED, _LAST = 3, 20


def shortened(steps: int, **changes: Any) -> Recipe:
    """Return the recipe with the parts of its schedule at about the same shares of ``steps``."""
    early = steps // 20
    schedule = {
        "warmup_steps": max(early, 1),
        "dense_steps": early,
        "annealed_step": 2 * steps // 5,
    }
    return embedded_recipe(**{**changes, **schedule, "steps": steps})


def run(
    recipe: Recipe, material: Material, products: torch.dtype, steps: int
) -> tuple[State, list[float], float]:
    """Take so many first steps; return the state, the loss of each and their processor time."""
    state, start = fresh(recipe, products), time.process_time()
    losses: list[float] = []
    for _ in range(steps):
        state.recent_loss = 0.0
        take_step(state, recipe, material)
        losses.append(state.recent_loss)
    return state, losses, time.process_time() - start


def compare(
    variant: Mapping[str, Any],
    material: Material,
    seconds: float,
    products: torch.dtype = torch.bfloat16,
) -> str:
    """Train a variant of the recipe for so many seconds of processor time; return its row.

    ``variant`` has the values that differ, and as ``options`` those of its keys that do.
    """
    changes = {**variant, "options": {**embedded_recipe().options, **variant.get("options", {})}}
    *_, spent = run(shortened(10**6, **changes), material, products, _TIMED)
    recipe = shortened(max(int(seconds / spent * _TIMED), 30), **changes)
    state, losses, cpu = run(recipe, material, products, recipe.steps)
    tokens, last = recipe.steps * recipe.batch_tokens, losses[-_LAST:]
    means = [sum(last) / len(last)]
    means += [mean_loss(state.network, material.sample(n)) for n in material.held_out]
    numbers = [f"{tokens:,}", f"{tokens / cpu:,.0f}", *(f"{mean:.3f}" for mean in means)]
    return f"| `{json.dumps(variant)}` | {' | '.join(numbers)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m tools.compare_recipes")
    parser.description = "Train variants of the recipe for the same processor time each."
    parser.add_argument("variants", nargs="+", type=json.loads, help="JSON of what differs")
    parser.add_argument("--seconds", type=float, default=200.0, help="default: %(default)s")
    said = "multiply float32 numbers, which is faster where there are no instructions for bfloat16"
    parser.add_argument("--float32", action="store_true", help=said)
    given = parser.parse_args(arguments)
    products = torch.float32 if given.float32 else torch.bfloat16
    torch.set_num_threads(1)
    material, _ = everything(embedded_recipe())
    sys.stdout.write("| variant | tokens | tokens/s | training | library | packages | prompts |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    for variant in given.variants:
        sys.stdout.write(compare(variant, material, given.seconds, products) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
