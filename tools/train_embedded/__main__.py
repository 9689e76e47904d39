"""Makes the embedded model: ``python -m tools.train_embedded``; ``--help`` has options."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from atlas_assets.files.atomic import write_bytes
from atlas_assets.models.loading import ModelSource, load
from atlas_assets.stages.prompts import object_prompts
from atlas_assets.stages.prompts.stimuli import load_stimuli
from tools.train_embedded import export, measure
from tools.train_embedded.card import card
from tools.train_embedded.corpus import read_corpus, read_packages
from tools.train_embedded.gauge import set_residual_scale
from tools.train_embedded.loop import curve_sample, train
from tools.train_embedded.material import LIBRARY, Material, gather
from tools.train_embedded.recipe import Recipe
from tools.train_embedded.record import make_record
from tools.train_embedded.state import State

RECORD = "training.json"

_log = logging.getLogger("tools.train_embedded")


def make(
    folder: Path, states: Path, recipe: Recipe, material: Material, prompts: pl.DataFrame
) -> None:
    """Train a model and write its checkpoint, record and card.

    The weights of the recipe's ``kept_steps`` become checkpoints of their own, in folders
    ``step-000030``, … below ``states``.

    Args:
        folder: of the checkpoint; files of the same names are replaced at the end.
        states: folder of the training's state, from which a killed run goes on.
        recipe: what the model is made from.
        material: what it is trained and judged on.
        prompts: object prompts whose losses are measured.

    Raises:
        ModelError: the material is too small, or ``states`` holds another run's state.
        ArtifactWriteError: a file cannot be written.
    """

    def keep(state: State) -> None:
        _write(states / f"step-{state.step:06d}", recipe, material, state)

    sample = material.held_out[LIBRARY]
    state = train(recipe, material.train, sample, states, material.digest, keep)
    factor = _write(folder, recipe, material, state)
    model = load(ModelSource("embedded", folder))
    losses = measure.prompt_losses(model, prompts)
    export.write_config(folder, recipe.options, losses.threshold)
    record = make_record(model, recipe, material, state, losses, factor)
    write_bytes(folder / RECORD, export.as_json(record), what="the training record")
    write_bytes(folder / "README.md", card(record).encode(), what="the model card")
    _log.info("%s: losses %s", folder, record["losses"])


def _write(folder: Path, recipe: Recipe, material: Material, state: State) -> float:
    """Write a state's weights as a checkpoint, and return what its stream was multiplied by."""
    network = copy.deepcopy(state.network)  # the training goes on with its own scale
    factor = set_residual_scale(network, curve_sample(material.held_out[LIBRARY]))
    export.write_tokenizer(folder, material.tokenizer, recipe.options["block_size"])
    export.write_weights(folder, network)
    export.write_config(folder, recipe.options, None)
    return factor


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_embedded")
    parser.description = "Train the embedded model, or go on with its training."
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=export.EMBEDDED,
        help="of the checkpoint; default: the one in the package",
    )
    parser.add_argument(
        "--states", type=Path, required=True, help="folder from which a killed run goes on"
    )
    for name in ("seed", "steps", "annealed_step", "density", "learning_rate", "optimiser"):
        default = getattr(Recipe, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            default=default,
            help="default: %(default)s",
        )
    given = vars(parser.parse_args(arguments))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folder, states = given.pop("folder"), given.pop("states")
    recipe = dataclasses.replace(Recipe(), **given)
    prompts = object_prompts.generate(load_stimuli())
    material = gather(recipe, read_corpus(), read_packages(), prompts)
    make(folder, states, recipe, material, prompts)


if __name__ == "__main__":
    main()
