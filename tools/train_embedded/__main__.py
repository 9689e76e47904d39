"""Makes the embedded model: ``python -m tools.train_embedded``; ``--help`` has options."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from atlas_assets.files.atomic import write_bytes
from atlas_assets.models.loading import ModelSource, load
from atlas_assets.stages.prompts import object_prompts
from atlas_assets.stages.prompts.stimuli import load_stimuli
from tools.train_embedded import export, measure
from tools.train_embedded.bpe import train_bpe
from tools.train_embedded.card import card
from tools.train_embedded.corpus import Source, read_corpus
from tools.train_embedded.data import split, token_stream
from tools.train_embedded.gauge import set_residual_scale
from tools.train_embedded.loop import curve_sample, train
from tools.train_embedded.recipe import Recipe
from tools.train_embedded.record import Corpus, make_record

RECORD = "training.json"

_log = logging.getLogger("tools.train_embedded")


def make(
    folder: Path, states: Path, recipe: Recipe, sources: Sequence[Source], *, variations: int
) -> None:
    """Train a model and write its checkpoint, record and card.

    Args:
        folder: of the checkpoint; files of the same names are replaced at the end.
        states: folder of the training's states, from which a killed run goes on.
        recipe: what the model is made from.
        sources: what it is trained on.
        variations: prompts per pair of the grid whose losses are measured.

    Raises:
        ModelError: the sources are too few, or ``states`` holds another run's states.
        ArtifactWriteError: a file cannot be written.
    """
    tokenizer = train_bpe((source.text for source in sources), recipe.options["vocab_size"])
    learnt, held_out = split(sources, recipe.held_out_one_in)
    corpus = Corpus(
        sources=sources,
        held_out_names=frozenset(source.name for source in held_out),
        train=token_stream(tokenizer, learnt),
        held_out=token_stream(tokenizer, held_out),
    )
    _log.info(
        "%d files: %d tokens to train on, %d held out; corpus %s",
        len(sources),
        len(corpus.train.ids),
        len(corpus.held_out.ids),
        corpus.digest,
    )
    state = train(recipe, corpus.train, corpus.held_out, states, corpus.digest)
    factor = set_residual_scale(state.network, curve_sample(corpus.held_out))
    export.write_tokenizer(folder, tokenizer, recipe.options["block_size"])
    export.write_weights(folder, state.network)
    export.write_config(folder, recipe.options, None)
    candidates = object_prompts.generate(load_stimuli(), variations=variations)
    model = load(ModelSource("embedded", folder))
    prompts = measure.prompt_losses(model, candidates)
    export.write_config(folder, recipe.options, prompts.threshold)
    record = make_record(model, recipe, corpus, state, prompts, factor)
    write_bytes(folder / RECORD, export.as_json(record), what="the training record")
    write_bytes(folder / "README.md", card(record).encode(), what="the model card")
    _log.info("%s: held-out loss %.3f", folder, record["held_out"]["loss"])


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
    parser.add_argument("--steps", type=int, default=Recipe.steps, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=Recipe.seed, help="default: %(default)s")
    parser.add_argument(
        "--density", type=float, default=Recipe.density, help="default: %(default)s"
    )
    parser.add_argument("--variations", type=int, default=50, help="prompts scored per pair")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = dataclasses.replace(
        Recipe(), steps=given.steps, seed=given.seed, density=given.density
    )
    make(given.folder, given.states, recipe, read_corpus(), variations=given.variations)


if __name__ == "__main__":
    main()
