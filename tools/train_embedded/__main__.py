"""Makes the embedded model: ``python -m tools.train_embedded``; ``--help`` has options."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from atlas_assets.stages.prompts import object_prompts
from atlas_assets.stages.prompts.stimuli import load_stimuli
from tools.corpus import divide, read_library, read_packages
from tools.train_embedded.material import Material, gather
from tools.train_embedded.recipe import Recipe, embedded_recipe
from tools.train_embedded.results import make

#: the checkpoint that ships with the package
EMBEDDED = Path(__file__).parents[2] / "atlas_assets" / "models" / "embedded"


def everything(recipe: Recipe) -> tuple[Material, pl.DataFrame]:
    """Return the whole corpus as tokens, and all object prompts."""
    prompts = object_prompts.generate(load_stimuli())
    corpus = divide(read_library(), read_packages(), recipe.held_out_one_in)
    return gather(recipe, corpus, prompts), prompts


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_embedded")
    parser.description = "Train the embedded model, or go on with its training."
    of_folder, of_states = "default: %(default)s", "folder from which a killed run goes on"
    parser.add_argument("folder", nargs="?", type=Path, default=EMBEDDED, help=of_folder)
    parser.add_argument("--states", type=Path, required=True, help=of_states)
    usual = embedded_recipe()
    for name in ("seed", "steps", "annealed_step", "density", "learning_rate", "optimiser"):
        option, value = f"--{name.replace('_', '-')}", getattr(usual, name)
        parser.add_argument(option, type=type(value), default=value, help="default: %(default)s")
    given = vars(parser.parse_args(arguments))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folder, states, recipe = given.pop("folder"), given.pop("states"), embedded_recipe(**given)
    make(folder, states, recipe, *everything(recipe))


if __name__ == "__main__":
    main()
